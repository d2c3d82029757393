package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

// The three exercises of the course, as tests. Each shows the mistake first and then what
// takes its place, so that it can be seen to fail: break the second half and run it.

// TestExercise1_IdempotencyKeyOnAlertEmission.
//
// An alert is emitted by whoever evaluates a rule. The evaluation is called again whenever
// its caller cannot know that it happened: after a timeout, after a crash, and by every
// replica. So the emission needs a name that all those calls agree on before they begin. It
// is (rule_id, evaluation_timestamp): the rule, and the scheduled instant that is evaluated,
// which is not the time at which anybody does it.
//
// The key is worth something only if it is kept in the same transaction as what it stands
// for. A key that is kept before the alert loses alerts in a crash, one that is kept after
// it doubles them.
func TestExercise1_IdempotencyKeyOnAlertEmission(t *testing.T) {
	ctx := t.Context()
	rule := downRule(t, "Down")

	t.Run("without a key, a repeated call emits again", func(t *testing.T) {
		var emitted []string
		emit := func(s app.Snapshot) {
			_, transitions, err := domain.Evaluate(rule, domain.Input{Slot: s.Slot, Samples: s.Samples}, domain.State{})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range transitions {
				emitted = append(emitted, x.Labels.String())
			}
		}
		emit(down(slot(1)))
		emit(down(slot(1))) // the caller timed out, and calls again
		if len(emitted) != 2 {
			t.Fatalf("emitted %v; this is the mistake that the exercise is about", emitted)
		}
	})

	t.Run("with the key, a repeated call is handed the outcome of the first", func(t *testing.T) {
		repo := newRepository()
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
		first, replayed, err := m.EvaluateSlot(ctx, rule, down(slot(1)))
		if err != nil || replayed || first.Messages != 1 {
			t.Fatalf("%+v, replayed %v, %v", first, replayed, err)
		}
		again, replayed, err := m.EvaluateSlot(ctx, rule, down(slot(1)))
		if err != nil || !replayed || again.Messages != first.Messages || !slices.Equal(again.Transitions, first.Transitions) {
			t.Fatalf("the second call: %+v, replayed %v, %v; want the outcome of the first", again, replayed, err)
		}
		if n := len(repo.messages()); n != 1 {
			t.Errorf("%d alerts in the outbox, want 1", n)
		}
		if _, ok := repo.applied[app.Key("test/Down", slot(1))]; !ok || len(repo.applied) != 1 {
			t.Errorf("applied keys are %v; want that of the rule and the slot alone", repo.applied)
		}
	})

	t.Run("another replica derives the same key, whatever its clock and its targets say", func(t *testing.T) {
		repo := newRepository()
		a := newMonitor(t, repo, app.Config{Replica: "a", Rules: []*domain.Rule{rule}})
		b := newMonitor(t, repo, app.Config{Replica: "b", Rules: []*domain.Rule{rule}})
		if _, _, err := a.EvaluateSlot(ctx, rule, down(slot(1))); err != nil {
			t.Fatal(err)
		}
		out, replayed, err := b.EvaluateSlot(ctx, rule, well(slot(1))) // it came a moment later, and the target was up
		if err != nil || !replayed || out.Replica != "a" {
			t.Fatalf("%+v, replayed %v, %v", out, replayed, err)
		}
		if n := len(repo.messages()); n != 1 {
			t.Errorf("%d alerts in the outbox, want 1", n)
		}
	})

	t.Run("a commit whose answer is lost is found by its key", func(t *testing.T) {
		repo := newRepository()
		lost := errors.New("the connection broke after COMMIT was sent")
		repo.afterCommit = func(idem.Key) error { return lost }
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
		if _, _, err := m.EvaluateSlot(ctx, rule, down(slot(1))); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		repo.afterCommit = nil
		out, replayed, err := m.EvaluateSlot(ctx, rule, down(slot(1)))
		if err != nil || !replayed || out.Messages != 1 || len(repo.messages()) != 1 {
			t.Fatalf("%+v, replayed %v, %v, %d in the outbox", out, replayed, err, len(repo.messages()))
		}
	})

	t.Run("a failure before the commit leaves no key behind", func(t *testing.T) {
		repo := newRepository()
		repo.beforeCommit = func(idem.Key) error { return errAway }
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
		if _, _, err := m.EvaluateSlot(ctx, rule, down(slot(1))); !errors.Is(err, errAway) {
			t.Fatal(err)
		}
		if len(repo.applied) != 0 || len(repo.messages()) != 0 {
			t.Fatal("something was kept; the alert would be lost now, since its key is taken")
		}
		repo.beforeCommit = nil
		out, replayed, err := m.EvaluateSlot(ctx, rule, down(slot(1)))
		if err != nil || replayed || out.Messages != 1 {
			t.Fatalf("%+v, replayed %v, %v", out, replayed, err)
		}
	})

	t.Run("another slot and another rule are other keys", func(t *testing.T) {
		repo := newRepository()
		other := downRule(t, "Other")
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule, other}})
		for _, call := range []struct {
			rule *domain.Rule
			snap app.Snapshot
		}{{rule, down(slot(1))}, {rule, well(slot(2))}, {other, down(slot(1))}} {
			if _, replayed, err := m.EvaluateSlot(ctx, call.rule, call.snap); err != nil || replayed {
				t.Fatalf("replayed %v, %v", replayed, err)
			}
		}
		if n := len(repo.messages()); n != 3 {
			t.Errorf("%d alerts in the outbox, want firing and resolved of one rule and firing of the other", n)
		}
	})
}

// TestExercise2_IncrementTurnedIntoSet.
//
// "How long does the condition hold already?" may be answered by counting up, once for each
// evaluation. Then an evaluation that is repeated counts twice, and the alert fires too
// early: state = state + 1 cannot be repeated. If instead the slot is kept in which the
// condition began to hold, a repeated evaluation writes what is there already: state = f(slot).
//
// The rule of thumb: write what is true after the step, and not what the step adds.
func TestExercise2_IncrementTurnedIntoSet(t *testing.T) {
	rule := downRule(t, "Down")
	rule.For = 2 * time.Second // three slots in a row, one second apart

	t.Run("the increment doubles", func(t *testing.T) {
		held := 0
		evaluate := func(s app.Snapshot) (fires bool) {
			if slices.ContainsFunc(s.Samples, func(x domain.Sample) bool { return x.Value == 0 }) {
				held++
			} else {
				held = 0
			}
			return held >= 3
		}
		fires := evaluate(down(slot(1)))
		fires = evaluate(down(slot(2))) || fires
		fires = evaluate(down(slot(2))) || fires // the same slot again
		if !fires || held != 3 {
			t.Fatalf("held %d, fires %v; this is the mistake that the exercise is about", held, fires)
		}
	})

	t.Run("the set does not", func(t *testing.T) {
		var state domain.State
		evaluate := func(s app.Snapshot) []domain.Transition {
			next, transitions, err := domain.Evaluate(rule, domain.Input{Slot: s.Slot, Samples: s.Samples}, state)
			if err != nil {
				t.Fatal(err)
			}
			state = next
			return transitions
		}
		evaluate(down(slot(1)))
		evaluate(down(slot(2)))
		for range 3 {
			if again := evaluate(down(slot(2))); len(again) != 0 {
				t.Fatalf("the same slot again gives transitions: %v", again)
			}
		}
		if a := state.Alerts[0]; a.Phase != domain.Pending || !a.ActiveAt.Equal(slot(1)) {
			t.Fatalf("after one second it is %s since %s; want pending since the first slot", a.Phase, a.ActiveAt)
		}
		if fired := evaluate(down(slot(3))); len(fired) != 1 || fired[0].To != domain.Firing {
			t.Fatalf("after two seconds: %v; want that it fires", fired)
		}
		if again := evaluate(down(slot(3))); len(again) != 0 {
			t.Fatalf("it fires again: %v", again)
		}
	})

	t.Run("so a unit of work repairs a lost key", func(t *testing.T) {
		// The two exercises back each other up: even a repository that forgets every key it
		// was given keeps its state and its outbox right, because what is written is a function of the slot.
		repo := newRepository()
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
		for second := 1; second <= 3; second++ {
			for range 3 {
				if _, _, err := m.EvaluateSlot(t.Context(), rule, down(slot(second))); err != nil {
					t.Fatal(err)
				}
				clear(repo.applied)
			}
		}
		if n := len(repo.messages()); n != 1 {
			t.Errorf("%d alerts in the outbox, want 1", n)
		}
	})
}

// TestExercise3_TransientFailureDuringPublish.
//
// The alert is committed to the outbox; a relay brings it to the receiver. It fails twice on
// the way: the receiver is not well (nothing happened), and then it does its work and the
// answer is lost (everything happened). The relay cannot tell the two apart, and must repeat
// in both cases, or alerts are lost. What keeps the second repeat from becoming a second alert is
// the message's identity: it was made from the key of exercise 1, it is the same
// on every attempt, and the receiver keeps it together with what it did.
//
// At least once on the way, at most once at the end: exactly one effect.
func TestExercise3_TransientFailureDuringPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages := 0 // what the receiver does: somebody is woken up
		receiver := onceAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if n, parseErr := app.ParseNotification(body); err != nil || parseErr != nil || n.Transition != domain.Firing {
				t.Errorf("the receiver got %q", body)
			}
			pages++
			w.WriteHeader(http.StatusAccepted)
		}))
		type attempt struct {
			number int
			id     string
			status string
		}
		var attempts []attempt
		publish := func(ctx context.Context, d outbox.Delivery) error {
			req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/alerts", bytes.NewReader(d.Payload))
			req.Header.Set(httpmw.HeaderKey, d.ID.String())
			a := attempt{d.Attempt, d.ID.String(), ""}
			defer func() { attempts = append(attempts, a) }()
			if d.Attempt == 1 {
				a.status = "refused"
				return errors.New("503 Service Unavailable")
			}
			w := httptest.NewRecorder()
			receiver.ServeHTTP(w, req)
			switch {
			case d.Attempt == 2:
				a.status = "done, answer lost"
				return errors.New("connection reset by peer")
			case w.Code != http.StatusAccepted:
				return fmt.Errorf("status %d", w.Code)
			}
			a.status = "replayed: " + w.Header().Get(httpmw.HeaderReplayed)
			return nil
		}

		// One unit of work; what it puts into the outbox is relayed after its commit.
		repo, rule := newRepository(), downRule(t, "Down")
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
		if _, _, err := m.EvaluateSlot(t.Context(), rule, down(slot(1))); err != nil {
			t.Fatal(err)
		}
		store := new(outboxtest.Memory)
		for _, x := range repo.messages() {
			if err := store.Write(t.Context(), outbox.Message{ID: x.ID, Topic: x.Sink, Lane: x.Lane, Key: x.Key, Payload: x.Payload}); err != nil {
				t.Fatal(err)
			}
		}
		relay, err := outbox.NewRelay(store, outbox.PublisherFunc(publish), outbox.RelayConfig{
			Policy: &retry.Policy{MaxAttempts: 5, Backoff: retry.Exponential(time.Second, time.Minute)},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- relay.Run(ctx) }()
		time.Sleep(time.Hour)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		id := app.FormatMessageID(repo.messages()[0].ID)
		want := []attempt{{1, id, "refused"}, {2, id, "done, answer lost"}, {3, id, "replayed: true"}}
		if !slices.Equal(attempts, want) {
			t.Errorf("attempts were\n%v, want\n%v", attempts, want)
		}
		if pages != 1 {
			t.Errorf("the receiver raised %d alerts, want 1", pages)
		}
		if s, err := store.Stats(t.Context()); err != nil || s.Hot+s.Parked+s.Dead != 0 {
			t.Errorf("the outbox still holds %+v, %v", s, err)
		}
	})
}

// onceAt makes a receiver that does its work once for each key.
func onceAt(tb testing.TB, h http.Handler) http.Handler {
	tb.Helper()
	g, err := idem.New(new(idem.Memory), idem.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return m.Handler(h)
}
