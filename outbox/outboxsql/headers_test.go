package outboxsql

import (
	"slices"
	"strings"
	"testing"

	"example.com/once/outbox"
)

func TestHeadersComeBackAsTheyWere(t *testing.T) {
	for _, want := range [][]outbox.Header{
		nil,
		{{Key: "a"}},
		{{Key: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, {Key: "a", Value: "ä"}, {Key: "a", Value: "b"}},
		{{Key: strings.Repeat("k", outbox.MaxName), Value: strings.Repeat("v", outbox.MaxHeaders-outbox.MaxName)}},
	} {
		got, err := decodeHeaders(encodeHeaders(want))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	if got := len(encodeHeaders([]outbox.Header{{Key: "key", Value: "value"}})); got != 1+1+3+1+5 {
		t.Errorf("a short header takes %d bytes", got)
	}
}

func TestDamagedHeadersAreNoticed(t *testing.T) {
	whole := encodeHeaders([]outbox.Header{{Key: "key", Value: "value"}})
	for n := 2; n < len(whole); n++ {
		if _, err := decodeHeaders(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes were decoded", n, len(whole))
		}
	}
	if _, err := decodeHeaders([]byte{9}); err == nil {
		t.Error("an unknown form was decoded")
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add(encodeHeaders([]outbox.Header{{Key: "a", Value: "b"}, {Key: "c"}}))
	f.Add([]byte{headersV1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		headers, err := decodeHeaders(b)
		if err != nil {
			return
		}
		again, err := decodeHeaders(encodeHeaders(headers))
		if err != nil || !slices.Equal(again, headers) {
			t.Errorf("%v became %v, %v", headers, again, err)
		}
	})
}
