package httpmw_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func TestH22OtherBodyIsAMismatchAndTheAnswerStands(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	first := b.post(t, "k", "x").want(t, 201, "")
	b.post(t, "k", "y").want(t, 422, httpmw.CodeMismatch)
	b.post(t, "k", "").want(t, 422, httpmw.CodeMismatch)
	if again := b.post(t, "k", "x"); again.body != first.body || !again.replayed() {
		t.Errorf("got %q", again.body)
	}
	runs.want(t, 1)
	b.events.want(t, httpmw.ResultFirst, httpmw.CodeMismatch, httpmw.CodeMismatch, httpmw.ResultReplayed)
}

func TestH23OtherPathQueryOrMediaTypeIsAMismatch(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Methods: []string{"POST", "PUT"}}}, created(&runs))
	send := func(method, target, media string) answer {
		return b.do(t, b.request(t, method, target, "k", strings.NewReader("x"), "Content-Type", media))
	}
	send("POST", "/a/b?c=d", "text/plain").want(t, 201, "")
	for _, c := range [][3]string{
		{"POST", "/a/b?c=e", "text/plain"},
		{"POST", "/a/b", "text/plain"},
		{"POST", "/a/b?c=d&c=d", "text/plain"},
		{"POST", "/a%2Fb?c=d", "text/plain"},
		{"POST", "/a?c=d", "text/plain"},
		{"POST", "/a/b?c=d", "application/json"},
		{"PUT", "/a/b?c=d", "text/plain"},
	} {
		send(c[0], c[1], c[2]).want(t, 422, httpmw.CodeMismatch)
	}
	runs.want(t, 1)
}

func TestH24MismatchShowsWhileTheFirstIsInFlight(t *testing.T) {
	var runs counter
	started, release := make(chan struct{}), make(chan struct{})
	b := newBench(t, benchConfig{}, func(http.ResponseWriter, *http.Request) {
		runs.add()
		close(started)
		<-release
	})
	first := b.start(t, "k")
	<-started
	b.post(t, "k", "y").want(t, 422, httpmw.CodeMismatch)
	b.post(t, "k", "x").want(t, 409, httpmw.CodeInFlight)
	close(release)
	(<-first).want(t, 200, "")
	runs.want(t, 1)
}

// start sends a request in the background.
func (b *bench) start(t *testing.T, key string, header ...string) <-chan answer {
	t.Helper()
	r := b.request(t, http.MethodPost, "/orders", key, strings.NewReader("x"), header...)
	done := make(chan answer, 1)
	go func() {
		defer close(done)
		a, err := send(b.Client(), r)
		if err != nil {
			t.Error(err)
			return
		}
		done <- a
	}()
	return done
}

func TestH25KeyStaysBoundThroughReleaseAndTakeOver(t *testing.T) {
	t.Run("a released 500", func(t *testing.T) {
		var runs counter
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
			if runs.add() == 1 {
				w.WriteHeader(500)
			}
		})
		b.post(t, "k", "x").want(t, 500, "")
		b.post(t, "k", "y").want(t, 422, httpmw.CodeMismatch)
		runs.want(t, 1)
		b.post(t, "k", "x").want(t, 200, "")
		runs.want(t, 2)
	})
	t.Run("a take-over", func(t *testing.T) {
		// The first holder dies: it claims, and is never heard of again.
		var runs counter
		store := &faultStore{Store: &idem.Memory{}}
		store.release = func(context.Context, idem.Lease, idem.Disposition) error { return errors.New("gone") }
		store.renew = func(context.Context, idem.Lease, time.Duration, *idem.Progress) error { return errors.New("gone") }
		b := newBench(t, benchConfig{store: store, guard: idem.Config{Lease: 50 * time.Millisecond, Settle: time.Millisecond}},
			func(w http.ResponseWriter, _ *http.Request) {
				if runs.add() == 1 {
					w.WriteHeader(500)
				}
			})
		b.post(t, "k", "x").want(t, 500, "")
		waitFor(t, func() bool { return b.post(t, "k", "y").want(t, 422, httpmw.CodeMismatch).status == 422 })
		waitFor(t, func() bool { return b.post(t, "k", "x").status == 200 })
		b.post(t, "k", "y").want(t, 422, httpmw.CodeMismatch)
		runs.want(t, 2)
	})
}

// waitFor asks until it is so. What it waits for has no signal of its own: a lease that ends.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it never came to be")
		}
	}
}

func form(t *testing.T, boundary string, parts ...string) (body, contentType string) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(parts); i += 2 {
		f, err := w.CreateFormFile(parts[i], parts[i]+".txt")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, parts[i+1])
	}
	_ = w.Close()
	return buf.String(), w.FormDataContentType()
}

func TestH26MultipartRetriedWithANewBoundary(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, func(_ http.ResponseWriter, r *http.Request) {
		runs.add()
		f, _, err := r.FormFile("a")
		if err != nil { // of the odd ones below
			return
		}
		if content, _ := io.ReadAll(f); string(content) != "1" {
			t.Errorf("the handler reads %q", content)
		}
	})
	send := func(boundary string, parts ...string) answer {
		body, media := form(t, boundary, parts...)
		return b.post(t, "k", body, "Content-Type", media)
	}
	send("first", "a", "1", "b", "2").want(t, 200, "")
	if !send("second", "a", "1", "b", "2").want(t, 200, "").replayed() {
		t.Error("the boundary made another request")
	}
	for name, parts := range map[string][]string{
		"content": {"a", "1", "b", "3"},
		"name":    {"a", "1", "c", "2"},
		"order":   {"b", "2", "a", "1"},
		"fewer":   {"a", "1"},
		"more":    {"a", "1", "b", "2", "c", "3"},
		"moved":   {"a", "12", "b", ""},
	} {
		if a := send("second", parts...); a.code() != httpmw.CodeMismatch {
			t.Errorf("%s makes no difference: %d %q", name, a.status, a.body)
		}
	}
	// What is no multipart, or is cut off, is taken byte by byte.
	whole, media := form(t, "x", "a", "1", "b", "2")
	for n, pair := range [][2]string{
		{"no parts", "no part"},
		{whole[:len(whole)-4], whole[:len(whole)-5]},
		{whole[:len(whole)-20], whole[:len(whole)-21]},
		{whole, whole[:len(whole)-4]},
	} {
		key := fmt.Sprint("odd", n)
		b.post(t, key, pair[0], "Content-Type", media).want(t, 200, "")
		if a := b.post(t, key, pair[1], "Content-Type", media); a.code() != httpmw.CodeMismatch {
			t.Errorf("%q and %q are one: %d", pair[0], pair[1], a.status)
		}
	}
}

func TestH27JSONByBytesOrByContent(t *testing.T) {
	const first, same = `{"a":1,"b":[1,2,{"c":"é"}]}`, "{ \"b\": [1, 2, {\"c\":\"\\u00e9\"}],\n\"a\": 1 }"
	t.Run("by bytes by default", func(t *testing.T) {
		var runs counter
		b := newBench(t, benchConfig{}, created(&runs))
		b.post(t, "k", first).want(t, 201, "")
		b.post(t, "k", same).want(t, 422, httpmw.CodeMismatch)
	})
	t.Run("by content if asked for", func(t *testing.T) {
		var runs counter
		b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Fingerprint: httpmw.CanonicalJSON}}, created(&runs))
		b.post(t, "k", first).want(t, 201, "")
		if !b.post(t, "k", same).want(t, 201, "").replayed() {
			t.Error("white space, order and escapes made another request")
		}
		for _, other := range []string{
			`{"a":1,"b":[2,1,{"c":"é"}]}`, `{"a":1.0,"b":[1,2,{"c":"é"}]}`, `{"a":1,"b":[1,2,{"c":"e"}]}`,
			`{"a":"1","b":[1,2,{"c":"é"}]}`, `{"a":1,"b":[1,2,{"c":"é"}],"a":1}`, `{"a":1,"b":[1,2,{"c":"é"}]} 1`, `{"a":1,"b":[1,2,{"c":"é"}`,
		} {
			b.post(t, "k", other).want(t, 422, httpmw.CodeMismatch)
		}
		runs.want(t, 1)
	})
}

// Two members with one name: which counts is up to the handler, so their order does matter.
func TestCanonicalJSONTakesWhatIsAmbiguousByBytes(t *testing.T) {
	sum := func(body string) string {
		var b bytes.Buffer
		if err := httpmw.CanonicalJSON(&b, nil, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, pair := range [][2]string{
		{`{"a":1,"a":2}`, `{"a":2,"a":1}`},
		{deep, " " + deep},
		{"\"\xff\"", "\"\xfe\""},
		{`[]`, `{}`}, {`[[]]`, `[]`}, {`[1,2]`, `[12]`}, {`["a","b"]`, `["a,b"]`}, {`null`, `"null"`}, {`{"a":{}}`, `{"a":[]}`}, {``, `""`},
	} {
		if sum(pair[0]) == sum(pair[1]) {
			t.Errorf("%.40q and %.40q are one", pair[0], pair[1])
		}
	}
}

func TestH28CharsetOrBoundaryAloneIsNoDifference(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	b.post(t, "k", "x", "Content-Type", "text/plain; charset=utf-8").want(t, 201, "")
	for _, media := range []string{"text/plain", "Text/Plain;charset=UTF-8", "text/plain; charset=latin1; x=y"} {
		if !b.post(t, "k", "x", "Content-Type", media).want(t, 201, "").replayed() {
			t.Errorf("%q makes another request", media)
		}
	}
	runs.want(t, 1)
}

func TestH29FingerprintOfSelectedFields(t *testing.T) {
	var runs counter
	amount := func(h io.Writer, r *http.Request, body io.Reader) error {
		raw, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		_, after, ok := strings.Cut(string(raw), "amount=")
		if !ok {
			return errors.New("no amount")
		}
		_, err = fmt.Fprint(h, after, r.Header.Get("Currency"))
		return err
	}
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Fingerprint: amount}}, created(&runs))
	b.post(t, "k", "trace=1 amount=5", "Currency", "EUR").want(t, 201, "")
	if !b.post(t, "k", "trace=2 amount=5", "Currency", "EUR").want(t, 201, "").replayed() {
		t.Error("a field that was not selected makes a difference")
	}
	b.post(t, "k", "trace=1 amount=6", "Currency", "EUR").want(t, 422, httpmw.CodeMismatch)
	b.post(t, "k", "trace=1 amount=5", "Currency", "USD").want(t, 422, httpmw.CodeMismatch)
	b.post(t, "other", "nothing").want(t, 400, httpmw.CodeBodyUnreadable)
	runs.want(t, 1)
}

func TestH30ChunkedAndPlainBodiesWithEqualBytesAreEqual(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	b.post(t, "k", "some bytes").want(t, 201, "")
	r := b.request(t, http.MethodPost, "/orders", "k", struct{ io.Reader }{strings.NewReader("some bytes")})
	if a := b.do(t, r).want(t, 201, ""); !a.replayed() {
		t.Error("chunks make another request")
	}
	runs.want(t, 1)
}

func TestH31NoBodyIsNoBodyHoweverItIsWritten(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	for n, body := range []io.Reader{nil, http.NoBody, strings.NewReader(""), struct{ io.Reader }{strings.NewReader("")}} {
		if a := b.do(t, b.request(t, http.MethodPost, "/orders", "k", body)).want(t, 201, ""); a.replayed() != (n > 0) {
			t.Errorf("form %d: %v", n, a.header)
		}
	}
	runs.want(t, 1)
}

// A stolen store cannot be searched for the bodies of requests.
func TestFingerprintIsAnHMACUnderTheServersKey(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range [][]byte{nil, []byte("0123456789abcdef"), []byte("fedcba9876543210")} {
		store := &faultStore{Store: &idem.Memory{}}
		store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
			seen[string(c.Fingerprint)] = true
			return store.Store.Claim(ctx, c)
		}
		b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{FingerprintKey: key}}, func(http.ResponseWriter, *http.Request) {})
		b.post(t, "k", "PIN 1234").want(t, 200, "")
		b.post(t, "k", "PIN 1234").want(t, 200, "")
	}
	if len(seen) != 3 {
		t.Errorf("%d fingerprints under 3 keys", len(seen))
	}
	for f := range seen {
		if len(f) != 32 {
			t.Errorf("a fingerprint of %d bytes", len(f))
		}
	}
}
