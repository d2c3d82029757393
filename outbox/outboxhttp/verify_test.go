package outboxhttp_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
)

// The vector that the reference libraries of Standard Webhooks test with, checked with
// openssl:
//
//	key=$(printf MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw | base64 -d | xxd -p)
//	printf 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' |
//		openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64
const (
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func vector() http.Header {
	return http.Header{
		"Webhook-Id":        {vectorID},
		"Webhook-Timestamp": {strconv.Itoa(vectorTime)},
		"Webhook-Signature": {vectorSignature},
	}
}

// at runs f at a time: a bubble's clock begins in the year 2000.
func at(t *testing.T, unix int64, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(unix, 0)))
		f(t)
	})
}

func TestVerify(t *testing.T) {
	other := outboxhttp.NewSecret()
	for _, c := range []struct {
		name    string
		change  func(http.Header)
		body    string
		secrets []string
		now     int64
		want    string // in the error; "" = verified
	}{
		{name: "the vector"},
		{name: "one of two secrets", secrets: []string{other, secret}},
		{name: "one of several signatures", change: func(h http.Header) {
			h.Set("Webhook-Signature", "v1,AAAA v2,"+vectorSignature[3:]+" v1a,!! "+vectorSignature)
		}},
		{name: "signatures in two lines", change: func(h http.Header) { h["Webhook-Signature"] = []string{"v1,AAAA", vectorSignature} }},
		{name: "another secret", secrets: []string{other}, want: "no signature matches"},
		{name: "another body", body: vectorBody + " ", want: "no signature matches"},
		{name: "another id", change: func(h http.Header) { h.Set("Webhook-Id", "msg_other") }, want: "no signature matches"},
		{name: "another time", change: func(h http.Header) { h.Set("Webhook-Timestamp", "1614265331") }, want: "no signature matches"},
		{name: "a signature of another version", change: func(h http.Header) { h.Set("Webhook-Signature", "v2,"+vectorSignature[3:]) }, want: "no signature matches"},
		{name: "a signature that is cut short", change: func(h http.Header) { h.Set("Webhook-Signature", vectorSignature[:20]) }, want: "no signature matches"},
		{name: "no signature", change: func(h http.Header) { h.Del("Webhook-Signature") }, want: "no webhook-signature"},
		{name: "no id", change: func(h http.Header) { h.Del("Webhook-Id") }, want: "one webhook-id"},
		{name: "two ids", change: func(h http.Header) { h.Add("Webhook-Id", vectorID) }, want: "one webhook-id"},
		{name: "no time", change: func(h http.Header) { h.Del("Webhook-Timestamp") }, want: "one webhook-timestamp"},
		{name: "almost too old", now: vectorTime + 300},
		{name: "too old", now: vectorTime + 301, want: "too old"},
		{name: "almost too new", now: vectorTime - 300},
		{name: "too new", now: vectorTime - 301, want: "future"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.now == 0 {
				c.now = vectorTime
			}
			at(t, c.now, func(t *testing.T) {
				t.Helper()
				h, body := vector(), vectorBody
				if c.change != nil {
					c.change(h)
				}
				if c.body != "" {
					body = c.body
				}
				if c.secrets == nil {
					c.secrets = []string{secret}
				}
				v, err := outboxhttp.NewVerifier(c.secrets...)
				if err != nil {
					t.Fatal(err)
				}
				err = v.Verify(h, []byte(body))
				switch {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "" && (!errors.Is(err, outboxhttp.ErrUnverified) || !strings.Contains(err.Error(), c.want)):
					t.Errorf("%v, want %q", err, c.want)
				}
			})
		})
	}
}

func TestTolerance(t *testing.T) {
	at(t, vectorTime+3600, func(t *testing.T) {
		t.Helper()
		v, err := outboxhttp.NewVerifier(secret)
		if err != nil {
			t.Fatal(err)
		}
		v.Tolerance = time.Hour
		if err := v.Verify(vector(), []byte(vectorBody)); err != nil {
			t.Error(err)
		}
		v.Tolerance = time.Minute
		if err := v.Verify(vector(), []byte(vectorBody)); err == nil {
			t.Error("an hour passes for a minute")
		}
		v.Tolerance = -1
		if err := v.Verify(vector(), []byte(vectorBody)); err != nil {
			t.Error(err)
		}
	})
}

// A secret is rotated without a refused request: sender with both, receiver with either.
func TestRotation(t *testing.T) {
	before, after := outboxhttp.NewSecret(), outboxhttp.NewSecret()
	err := post(t, func(_ http.ResponseWriter, r *http.Request) {
		for _, s := range []string{before, after} {
			v, err := outboxhttp.NewVerifier(s)
			if err != nil {
				t.Error(err)
				return
			}
			if err := v.Verify(r.Header, []byte("x")); err != nil {
				t.Error(err)
			}
		}
	}, outboxhttp.Config{Secrets: []string{after, before}}, message("x"))
	if err != nil {
		t.Error(err)
	}
}

func TestUnsigned(t *testing.T) {
	err := post(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header["Webhook-Signature"] != nil || r.Header.Get("Webhook-Id") == "" || r.Header.Get("Webhook-Timestamp") == "" {
			t.Error(r.Header)
		}
	}, outboxhttp.Config{}, message("x"))
	if err != nil {
		t.Error(err)
	}
}

func TestNewVerifierErrors(t *testing.T) {
	for want, secrets := range map[string][]string{"at least one": nil, "secrets[1]": {secret, "x"}} {
		if _, err := outboxhttp.NewVerifier(secrets...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	v, err := outboxhttp.NewVerifier(secret)
	if err != nil {
		f.Fatal(err)
	}
	v.Tolerance = -1
	f.Add(vectorID, strconv.Itoa(vectorTime), vectorSignature, []byte(vectorBody))
	f.Add("", "9999999999999999999999", "v1, v1,= ,", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		err := v.Verify(h, body)
		if err == nil && (id != vectorID || timestamp != strconv.Itoa(vectorTime) || string(body) != vectorBody) {
			t.Errorf("verified: %q %q %q %q", id, timestamp, signature, body)
		}
	})
}

var _ outbox.Publisher = (*outboxhttp.Publisher)(nil)
