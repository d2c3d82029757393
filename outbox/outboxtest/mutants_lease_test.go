package outboxtest

import (
	"context"
	"maps"
	"time"

	"example.com/once/outbox"
)

func leaseMutants() map[string]func(*mutant) {
	return map[string]func(*mutant){
		"the epoch does not grow on take-over": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				leases, err := m.Memory.Lease(ctx, r)
				m.in(func() {
					for _, sh := range m.shards {
						sh.epoch = 1
					}
				})
				for i := range leases {
					leases[i].Epoch = 1
				}
				return leases, err
			}
		},
		"the epoch grows on renewal": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				m.in(func() {
					for _, sh := range m.shards {
						if sh.owner == r.Owner && !sh.taken(time.Now()) {
							sh.owner = ""
						}
					}
				})
				return m.Memory.Lease(ctx, r)
			}
		},
		"a lease is given while another runs": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				m.in(func() {
					for _, sh := range m.shards {
						if sh.owner != r.Owner {
							sh.owner = ""
						}
					}
				})
				return m.Memory.Lease(ctx, r)
			}
		},
		"a lease never ends": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				leases, err := m.Memory.Lease(ctx, r)
				m.in(func() {
					for _, sh := range m.shards {
						sh.until = sh.until.Add(1000 * time.Hour)
					}
				})
				return leases, err
			}
		},
		"nothing is surplus": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				leases, err := m.Memory.Lease(ctx, r)
				for i := range leases {
					leases[i].Surplus = false
				}
				return leases, err
			}
		},
		"a relay takes all that is free, others' shares too": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				seats := map[seat]time.Time{}
				m.in(func() { seats, m.relays = maps.Clone(m.relays), nil })
				leases, err := m.Memory.Lease(ctx, r)
				m.in(func() {
					for s, until := range seats {
						if s.owner != r.Owner {
							m.relays[s] = until
						}
					}
				})
				return leases, err
			}
		},
		"relays that are gone still count": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				leases, err := m.Memory.Lease(ctx, r)
				m.in(func() {
					for s := range m.relays {
						m.relays[s] = time.Now().Add(1000 * time.Hour)
					}
				})
				return leases, err
			}
		},
		"skipped lanes are served": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				r.Skip = nil
				return m.Memory.Lease(ctx, r)
			}
		},
		"Release frees whatever holds the shard": func(m *mutant) {
			m.release = func(ctx context.Context, owner string, held []outbox.Lease) error {
				m.in(func() {
					for _, l := range held {
						m.shards[l.Shard].owner = ""
					}
				})
				return m.Memory.Release(ctx, owner, held)
			}
		},
		"Release of nil leaves the seat": func(m *mutant) {
			m.release = func(ctx context.Context, owner string, held []outbox.Lease) error {
				var seats map[seat]time.Time
				m.in(func() { seats = maps.Clone(m.relays) })
				err := m.Memory.Release(ctx, owner, held)
				m.in(func() { m.relays = seats })
				return err
			}
		},
		"Release waits for the lease to run out": func(m *mutant) {
			m.release = func(ctx context.Context, owner string, held []outbox.Lease) error {
				if held == nil {
					return m.Memory.Release(ctx, owner, held)
				}
				return nil
			}
		},
		"a lease leaves a shard out": func(m *mutant) {
			m.lease = func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
				leases, err := m.Memory.Lease(ctx, r)
				if m.asked.Add(1)%2 == 0 && len(leases) > 0 {
					leases = leases[1:]
				}
				return leases, err
			}
		},
	}
}
