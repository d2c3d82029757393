package app

import (
	"encoding/json"
	"fmt"
	"time"

	"example.com/once/monitoring/domain"
)

// Notification is the body that a sink receives for one transition. It holds nothing
// that depends on when or by whom it was made, so every attempt, by every
// replica, sends the same bytes.
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
