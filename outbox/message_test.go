package outbox_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

func TestOutbox44Validate(t *testing.T) {
	long := strings.Repeat("x", outbox.MaxName)
	header := func(k, v string) []outbox.Header {
		return []outbox.Header{{Key: "fine", Value: "fine"}, {Key: k, Value: v}}
	}
	for _, c := range []struct {
		name string
		m    outbox.Message
		want string // in the error; "" = valid
	}{
		{"the least", outbox.Message{Topic: "t"}, ""},
		{"everything at its limit", outbox.Message{
			Topic: long, Key: long, Payload: make([]byte, outbox.MaxPayload),
			Headers: []outbox.Header{{Key: "k", Value: strings.Repeat("v", outbox.MaxHeaders-1)}},
		}, ""},
		{"empty payload, empty value", outbox.Message{Topic: "t", Payload: []byte{}, Headers: header("k", "")}, ""},
		{"other languages", outbox.Message{Topic: "тема", Key: "κλειδί", Headers: header("ключ", "значение")}, ""},
		{"no topic", outbox.Message{}, "Topic is empty"},
		{"long topic", outbox.Message{Topic: long + "x"}, "Topic must be"},
		{"topic with a line break", outbox.Message{Topic: "a\nb"}, "Topic must be"},
		{"topic that is not UTF-8", outbox.Message{Topic: "\xff"}, "Topic must be"},
		{"key of 64 KiB", outbox.Message{Topic: "t", Key: strings.Repeat("k", 64<<10)}, "Key must be"},
		{"key with NUL", outbox.Message{Topic: "t", Key: "a\x00"}, "Key must be"},
		{"long payload", outbox.Message{Topic: "t", Payload: make([]byte, outbox.MaxPayload+1)}, "Payload has 4194305 bytes, more than 4194304"},
		{"no header key", outbox.Message{Topic: "t", Headers: header("", "v")}, "Headers[1].Key"},
		{"long header key", outbox.Message{Topic: "t", Headers: header(long+"x", "v")}, "Headers[1].Key"},
		{"header value with CR LF", outbox.Message{Topic: "t", Headers: header("k", "a\r\nb: c")}, "Headers[1].Value"},
		{"header value with NUL", outbox.Message{Topic: "t", Headers: header("k", "\x00")}, "Headers[1].Value"},
		{"long headers", outbox.Message{Topic: "t", Headers: header("k", strings.Repeat("v", outbox.MaxHeaders))}, "Headers have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.m.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.Is(err, outbox.ErrMessage) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// ShardOf is stored with every message: it must never change.
func TestShardOfIsFixed(t *testing.T) {
	id := uuid.MustParse("0190163d-8694-739b-aea5-966c26f8ad91")
	for _, c := range []struct {
		m      outbox.Message
		shards int
		want   int
	}{
		{outbox.Message{Key: "a"}, 64, 18},
		{outbox.Message{Key: "account-42"}, 64, 28},
		{outbox.Message{Key: "account-42", ID: id}, 64, 28},
		{outbox.Message{Key: "account-42", Lane: 3}, 64, 3*64 + 28},
		{outbox.Message{Key: "κλειδί"}, 8, 5},
		{outbox.Message{ID: id}, 64, 46},
		{outbox.Message{ID: id, Lane: 255}, 64, 255*64 + 46},
	} {
		if got := outbox.ShardOf(&c.m, c.shards); got != c.want {
			t.Errorf("%+v of %d shards: %d, want %d", c.m, c.shards, got, c.want)
		}
	}
}

// Keys that differ a little spread over all shards.
func TestShardOfSpreads(t *testing.T) {
	for name, key := range map[string]func(i int) outbox.Message{
		"numbered keys": func(i int) outbox.Message {
			return outbox.Message{Key: "key-" + string(rune('0'+i%10)) + string(rune('a'+i/10%26)) + string(rune('a'+i/260))}
		},
		"ids": func(int) outbox.Message { return outbox.Message{ID: uuid.Must(uuid.NewV7())} },
	} {
		const n, shards = 6400, 64
		counts := make([]int, shards)
		for i := range n {
			m := key(i)
			counts[outbox.ShardOf(&m, shards)]++
		}
		for i, c := range counts {
			if c < 50 || c > 160 { // 100 on average, with a deviation of 10
				t.Errorf("%s: %d of %d messages in shard %d of %d", name, c, n, i, shards)
			}
		}
	}
}

func TestOrderKey(t *testing.T) {
	m := outbox.Message{Key: "a"}
	if got := m.OrderKey(); got != "a" {
		t.Errorf("%q", got)
	}
	m.NotBefore = time.Unix(1, 0)
	if got := m.OrderKey(); got != "" {
		t.Errorf("%q of a delayed message", got)
	}
}
