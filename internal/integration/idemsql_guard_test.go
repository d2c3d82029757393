package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// What the Guard does by itself works over a database as it does over memory: steps, sealing,
// compression, the cache, renewal.
func TestIdemSQLiteWithEverythingOn(t *testing.T) {
	ring, err := idem.NewKeyring(idem.SealKey{ID: "a", Secret: bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			db, _ := d.file(t)
			store := openIdem(t, db, idemsql.Config{})
			c := idem.Config{Seal: ring, Compress: 100, Cache: 1 << 20, Lease: 500 * time.Millisecond, Keep: time.Hour}
			g, err := idem.NewTx(store, c)
			if err != nil {
				t.Fatal(err)
			}
			text := bytes.Repeat([]byte("a secret "), 1000)
			steps := 0
			fn := func(ctx context.Context) ([]byte, error) {
				got, err := idem.Step(ctx, "read", func(context.Context) ([]byte, error) { steps++; return text, nil })
				if a, _ := idem.Current(ctx); err != nil || a.Number < 3 {
					return nil, errors.Join(err, errLost)
				}
				select {
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				case <-time.After(2 * c.Lease): // needs renewing
					return got, nil
				}
			}
			for range 2 {
				if _, err := idem.DoValue(t.Context(), g.Guard, "k", fn); !errors.Is(err, errLost) {
					t.Fatalf("an attempt that fails: %v", err)
				}
			}
			for range 2 {
				got, err := idem.DoValue(t.Context(), g.Guard, "k", fn)
				if err != nil || !bytes.Equal(got, text) || steps != 1 {
					t.Fatalf("%d bytes, %v, %d runs of the step", len(got), err, steps)
				}
			}
			got, err := idem.DoTx(t.Context(), g, "tx", func(context.Context, *sql.Tx) ([]byte, error) { return text, nil })
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("DoTx: %d bytes, %v", len(got), err)
			}
			if n := count(t, db, `SELECT COUNT(*) FROM once_idem WHERE length(result) > 300 OR instr(result, 'secret')`); n != 0 {
				t.Errorf("%d results are readable or not compressed", n)
			}
			another, err := idem.NewTx(store, idem.Config{Seal: ring}) // as another process would
			if err != nil {
				t.Fatal(err)
			}
			got, err = idem.DoTx(t.Context(), another, "tx", func(context.Context, *sql.Tx) ([]byte, error) { return nil, errLost })
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("replay elsewhere: %d bytes, %v", len(got), err)
			}
		})
	}
}
