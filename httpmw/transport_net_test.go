package httpmw_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dialling counts dials, and lets the first n of them fail.
func dialling(n int32, count *atomic.Int32) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if count.Add(1) <= n {
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

func TestPostThatSurelyNeverLeftIsRepeatedWithoutAKey(t *testing.T) {
	t.Run("dial fails twice", func(t *testing.T) {
		var dials atomic.Int32
		p := newPeer(t, status(201, ""))
		resp, err := client(t, &httpmw.Transport{Base: dialling(2, &dials), Policy: atOnce()}).Do(request(t, http.MethodPost, p.URL, "x"))
		if err != nil || resp.StatusCode != 201 {
			t.Fatalf("%v, %v", resp, err)
		}
		_ = resp.Body.Close()
		if got := p.want(t, 1); got[0].body != "x" || dials.Load() != 3 {
			t.Errorf("%q after %d dials", got[0].body, dials.Load())
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		var dials atomic.Int32
		_, err := client(t, &httpmw.Transport{Base: dialling(0, &dials), Policy: atOnce()}).
			Do(request(t, http.MethodPost, "http://"+deadAddress(t), "x"))
		e, ok := errors.AsType[*retry.Error](err)
		if !ok || e.Attempts != 3 || dials.Load() != 3 || e.Class() != retry.NoEffect {
			t.Errorf("%v after %d dials", err, dials.Load())
		}
	})
	t.Run("TLS is cut off in its handshake", func(t *testing.T) {
		var conns atomic.Int32
		addr := listen(t, func(c net.Conn) {
			conns.Add(1)
			_, _ = c.Read(make([]byte, 1))
		})
		_, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(request(t, http.MethodPost, "https://"+addr, "x"))
		if e, ok := errors.AsType[*retry.Error](err); !ok || e.Attempts != 3 || conns.Load() != 3 {
			t.Errorf("%v after %d connections", err, conns.Load())
		}
	})
}

// listen serves each connection by f and closes it then.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestPostThatMayHaveArrivedIsNotRepeatedWithoutAKey(t *testing.T) {
	for name, after := range map[string]func(*bufio.Reader){
		"closed after the header": func(r *bufio.Reader) {
			for {
				if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
					return
				}
			}
		},
		"closed in the answer": nil,
	} {
		var conns atomic.Int32
		addr := listen(t, func(c net.Conn) {
			conns.Add(1)
			if after != nil {
				after(bufio.NewReader(c))
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 20")
		})
		_, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(request(t, http.MethodPost, "http://"+addr, "x"))
		if !errors.Is(err, retry.ErrNonIdempotent) || conns.Load() != 1 {
			t.Errorf("%s: %v after %d connections", name, err, conns.Load())
		}
	}
}

// A Base that does not speak to httptrace may have sent anything.
func TestSilenceOfBaseIsNoProofThatNothingWasSent(t *testing.T) {
	f := &fake{next: []answerFunc{breaks(errCut)}}
	_, err := (&httpmw.Transport{Base: f, Policy: atOnce()}).RoundTrip(request(t, http.MethodPost, "http://x.test/", "x"))
	if !errors.Is(err, retry.ErrNonIdempotent) || !errors.Is(err, errCut) {
		t.Errorf("got %v", err)
	}
	f.want(t, 1)
}

func TestWhatNetHTTPFindsFaultWithIsNotRepeated(t *testing.T) {
	policy := atOnce()
	failures := 0
	policy.Observe = func(context.Context, retry.Event) { failures++ }
	c := client(t, &httpmw.Transport{Policy: policy})
	for name, r := range map[string]*http.Request{
		"scheme": request(t, http.MethodGet, "gopher://x.test/", ""),
		"header": request(t, http.MethodGet, "http://x.test/", "", "X-Bad", "a\nb"),
		"method": {Method: "G ET", URL: request(t, http.MethodGet, "http://x.test/", "").URL, Header: http.Header{}},
	} {
		failures = 0
		if resp, err := c.Transport.RoundTrip(r); err == nil || failures != 1 {
			t.Errorf("%s: %v, %v after %d failures", name, resp, err, failures)
		}
	}
}

func TestServerThatSpeaksNoTLSOrHasAWrongCertificateIsPermanent(t *testing.T) {
	p := newPeer(t, status(200, ""))
	tls := httptest.NewUnstartedServer(status(200, ""))
	tls.Config.ErrorLog = quiet()
	tls.StartTLS()
	defer tls.Close()
	for _, url := range []string{strings.Replace(p.URL, "http:", "https:", 1), tls.URL} {
		var dials atomic.Int32
		if _, err := client(t, &httpmw.Transport{Base: dialling(0, &dials), Policy: atOnce()}).Do(request(t, http.MethodGet, url, "")); err == nil || dials.Load() != 1 {
			t.Errorf("%s: %v after %d dials", url, err, dials.Load())
		}
	}
}

// A redirect is another call: with its own attempts, and with a key of its own, because the address is
// part of what a key is bound to.
func TestRedirectsAreCallsOfTheirOwn(t *testing.T) {
	fails := map[string]int{"/moved": 1, "/there": 1}
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		if fails[r.URL.Path] > 0 {
			fails[r.URL.Path]--
			w.WriteHeader(503)
			return
		}
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}
	})
	resp, err := client(t, &httpmw.Transport{Policy: atOnce(), Key: httpmw.NewKey}).Do(request(t, http.MethodPost, p.URL+"/moved", "x"))
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	got := p.want(t, 4)
	keys := make([]string, len(got))
	for n := range got {
		keys[n] = got[n].header.Get(httpmw.HeaderKey)
		if got[n].body != "x" || got[n].header.Get(httpmw.HeaderAttempt) != []string{"", "2", "", "2"}[n] {
			t.Errorf("request %d: %q, %v", n+1, got[n].body, got[n].header)
		}
	}
	if keys[0] == "" || keys[0] != keys[1] || keys[2] == "" || keys[2] != keys[3] || keys[1] == keys[2] {
		t.Errorf("keys %q", keys)
	}
}

func TestSwitchedProtocolsBodyIsStillAWriter(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
	})
	policy := atOnce()
	policy.AttemptTimeout = time.Minute
	resp, err := client(t, &httpmw.Transport{Policy: policy}).Do(request(t, http.MethodGet, p.URL, "", "Connection", "Upgrade", "Upgrade", "echo"))
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body is a %T", resp.Body)
	}
	if _, err := io.WriteString(rw, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(rw).ReadString('\n'); line != "echo hello\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

// Dropped answers free their connections: all attempts travel over one.
func TestDrainedConnectionsAreUsedAgain(t *testing.T) {
	var dials atomic.Int32
	p := newPeer(t, status(503, strings.Repeat("x", 3000)), status(503, ""), status(200, "ok"))
	base := dialling(0, &dials)
	defer base.CloseIdleConnections()
	resp, err := client(t, &httpmw.Transport{Base: base, Policy: atOnce()}).Do(request(t, http.MethodGet, p.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if p.want(t, 3); dials.Load() != 1 {
		t.Errorf("%d connections", dials.Load())
	}
}

func TestCloseIdleConnectionsReachesBase(t *testing.T) {
	closed := 0
	c := &http.Client{Transport: &httpmw.Transport{Base: closer{close: func() { closed++ }}}}
	c.CloseIdleConnections()
	(&http.Client{Transport: &httpmw.Transport{Base: &fake{}}}).CloseIdleConnections()
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
}

type closer struct {
	http.RoundTripper

	close func()
}

func (c closer) CloseIdleConnections() { c.close() }
