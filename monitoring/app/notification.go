package app

import (
	"encoding/json"
	"fmt"
	"time"

	"example.com/once/monitoring/domain"
)

// Notification is the body that a sink receives for one transition. It holds nothing
// that depends on when it is sent or by whom, so every attempt, by every replica,
// sends the same bytes.
type Notification struct {
	MessageID    string             `json:"message_id"` // also the Idempotency-Key and webhook-id header
	RuleID       string             `json:"rule_id"`
	RuleRevision string             `json:"rule_revision"`
	Slot         time.Time          `json:"evaluation_timestamp"`
	Transition   domain.Phase       `json:"transition"` // firing or resolved
	Fingerprint  domain.Fingerprint `json:"fingerprint"`
	Labels       domain.Labels      `json:"labels"`
	Annotations  domain.Labels      `json:"annotations"`
	Value        string             `json:"value"` // a string, since JSON has no NaN
	StartsAt     time.Time          `json:"starts_at"`
	EndsAt       *time.Time         `json:"ends_at,omitempty"` // of a resolved alert
}

// ParseNotification reads a message's payload.
func ParseNotification(payload []byte) (Notification, error) {
	var n Notification
	if err := json.Unmarshal(payload, &n); err != nil {
		return Notification{}, fmt.Errorf("app: notification: %w", err)
	}
	return n, nil
}

// messages makes one message a sink for a transition that anybody is to be told of.
func (m *Monitor) messages(revision string, t domain.Transition) ([]Message, error) {
	if !t.Notifies() {
		return nil, nil
	}
	n := Notification{
		RuleID: t.RuleID, RuleRevision: revision, Slot: t.Slot, Transition: t.To, Fingerprint: t.Fingerprint,
		Labels: t.Labels, Annotations: t.Annotations, Value: domain.FormatValue(t.Value), StartsAt: t.ActiveAt,
	}
	if t.To == domain.Resolved {
		n.EndsAt = &t.Slot
	}
	messages := make([]Message, 0, len(m.c.Sinks))
	for _, s := range m.c.Sinks {
		id := MessageID(Key(t.RuleID, t.Slot), t.Slot, t.Fingerprint, t.To, s.Name)
		n.MessageID = FormatMessageID(id)
		payload, err := json.Marshal(n)
		if err != nil {
			return nil, fmt.Errorf("app: notification: %w", err)
		}
		ref := AlertRef{t.RuleID, t.Fingerprint}
		messages = append(messages, Message{
			ID: id, Sink: s.Name, Lane: s.Lane, Key: ref.OrderingKey(), Payload: payload, Alert: ref, Slot: t.Slot, To: t.To,
		})
	}
	return messages, nil
}
