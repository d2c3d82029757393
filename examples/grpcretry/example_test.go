package grpcretry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/once/retry"
)

// classify judges gRPC's status codes, and leaves every other error to retry.Classify.
func classify(err error) retry.Verdict {
	v := retry.Classify(err)
	s, ok := status.FromError(err)
	if !ok {
		return v
	}
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal:
		v.Class = retry.Ambiguous // it may have reached the server's code
	case codes.ResourceExhausted, codes.Aborted:
		v.Class, v.Overload = retry.NoEffect, s.Code() == codes.ResourceExhausted
		for _, detail := range s.Details() {
			if info, ok := detail.(*errdetails.RetryInfo); ok {
				v.After = info.GetRetryDelay().AsDuration()
			}
		}
	default:
		v.Class = retry.Permanent // the answer would be the same again
	}
	return v
}

// A call over gRPC is repeated by what its status says.
func Example() {
	calls := 0
	policy := &retry.Policy{Classify: classify, Backoff: retry.Constant(time.Millisecond)}
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		if calls++; calls < 3 {
			return status.Error(codes.Unavailable, "connection closed")
		}
		return status.Error(codes.NotFound, "no such order")
	})
	fmt.Println(calls, status.Code(err))
	// Output: 3 NotFound
}

func TestClassify(t *testing.T) {
	busy, err := status.New(codes.ResourceExhausted, "quota").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		want retry.Verdict
	}{
		{busy.Err(), retry.Verdict{Class: retry.NoEffect, Overload: true, After: time.Minute}},
		{status.Error(codes.Aborted, ""), retry.Verdict{Class: retry.NoEffect}},
		{status.Error(codes.Unavailable, ""), retry.Verdict{Class: retry.Ambiguous}},
		{fmt.Errorf("place order: %w", status.Error(codes.DeadlineExceeded, "")), retry.Verdict{Class: retry.Ambiguous}},
		{status.Error(codes.InvalidArgument, ""), retry.Verdict{Class: retry.Permanent}},
		{status.Error(codes.AlreadyExists, ""), retry.Verdict{Class: retry.Permanent}},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, retry.Verdict{Class: retry.NoEffect}},
		{context.DeadlineExceeded, retry.Verdict{Class: retry.Ambiguous}},
	} {
		if got := classify(c.err); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.err, got, c.want)
		}
	}
}
