package retry_test

import (
	"context"
	"testing"

	"example.com/once/retry"
)

var sink int

//go:noinline
func work(context.Context) error {
	sink++
	return nil
}

//go:noinline
func workValue(context.Context) (int, error) {
	sink++
	return sink, nil
}

func BenchmarkBare(b *testing.B) {
	ctx := b.Context()
	for b.Loop() {
		if work(ctx) != nil {
			b.Fatal()
		}
	}
}

func BenchmarkDo(b *testing.B) {
	b.ReportAllocs()
	ctx := b.Context()
	p := &retry.Policy{}
	for b.Loop() {
		if retry.Do(ctx, p, work) != nil {
			b.Fatal()
		}
	}
}

func BenchmarkDoBudget(b *testing.B) {
	b.ReportAllocs()
	ctx := b.Context()
	p := &retry.Policy{Budget: new(retry.Budget)}
	for b.Loop() {
		if retry.Do(ctx, p, work) != nil {
			b.Fatal()
		}
	}
}

func BenchmarkDoValue(b *testing.B) {
	b.ReportAllocs()
	ctx := b.Context()
	p := &retry.Policy{Budget: new(retry.Budget)}
	for b.Loop() {
		if _, err := retry.DoValue(ctx, p, workValue); err != nil {
			b.Fatal()
		}
	}
}

func BenchmarkAttempts(b *testing.B) {
	b.ReportAllocs()
	ctx := b.Context()
	p := &retry.Policy{Budget: new(retry.Budget)}
	var err error
	for b.Loop() {
		for _, ctx := range p.Attempts(ctx, &err) {
			err = work(ctx)
		}
		if err != nil {
			b.Fatal()
		}
	}
}
