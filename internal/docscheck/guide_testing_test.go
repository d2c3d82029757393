package docscheck_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
	"example.com/once/idem/idemtest"
)

// The code of docs/guide.md, section "Testing retry safety".

// lossy is a store whose first answer to Complete gets lost after the store has done it.
type lossy struct {
	idem.Store

	lost bool
}

func (s *lossy) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	rec, err := s.Store.Complete(ctx, l, result, keep)
	if !s.lost {
		s.lost = true
		return idem.Record{}, errors.New("connection reset")
	}
	return rec, err
}

func TestLostAcknowledgementRunsOnce(t *testing.T) {
	guard, err := idem.New(&lossy{Store: &idem.Memory{}}, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for range 2 {
		err := idem.Do(t.Context(), guard, "order-1138", func(context.Context) error {
			runs++
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if runs != 1 {
		t.Errorf("%d runs, want 1", runs)
	}
}

func TestCrashedRunIsTakenOverWhenItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &idem.Memory{}
		guard, err := idem.New(store, idem.Config{Lease: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}

		// What a killed process leaves behind: a claim, and nobody who renews it.
		claim := idem.Claim{Key: "order-1138", Token: uuid.New(), Lease: 30 * time.Second, Keep: time.Hour}
		if _, err := store.Claim(t.Context(), claim); err != nil {
			t.Fatal(err)
		}

		var info idem.Info
		work := func(context.Context) error { return nil }
		if err := idem.Do(t.Context(), guard, "order-1138", work); !errors.Is(err, idem.ErrInFlight) {
			t.Errorf("at once: %v, want ErrInFlight", err)
		}
		time.Sleep(30 * time.Second) // of the bubble: no real time passes
		if err := idem.Do(t.Context(), guard, "order-1138", work, idem.Report(&info)); err != nil || info.Attempt != 2 {
			t.Errorf("after the lease: %v, attempt %d, want attempt 2", err, info.Attempt)
		}
	})
}

func TestMyStoreKeepsTheContract(t *testing.T) {
	idemtest.Run(t, func(testing.TB) idem.Store { return newMyStore() }, idemtest.Virtual())
}

// newMyStore stands for a store of the reader's own.
func newMyStore() idem.Store { return &idem.Memory{} }
