package httpmw_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

// net/http repeats a request on a dead reused connection by itself, if it has a key or is idempotent. That
// happens inside one attempt.
func TestNetHTTPsOwnRepeatIsNoAttempt(t *testing.T) {
	for _, c := range []struct {
		name     string
		header   []string
		sends    int32 // of the second request
		attempts int
	}{
		{"with a key", []string{"Idempotency-Key", "k"}, 2, 1},
		{"without", nil, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sends atomic.Int32
			addr := listen(t, func(conn net.Conn) {
				r := bufio.NewReader(conn)
				for n := 1; ; n++ {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if req.URL.Path == "/second" && sends.Add(1) == 1 {
						return // dead, in use
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			attempts := 0
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			tr := &httpmw.Transport{Policy: atOnce(), Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				attempts++
				return base.RoundTrip(r)
			})}
			resp, err := tr.RoundTrip(request(t, http.MethodGet, "http://"+addr+"/first", ""))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			attempts = 0
			r := request(t, http.MethodPost, "http://"+addr+"/second", "", c.header...)
			r.Body = io.NopCloser(strings.NewReader("recorded")) // GetBody is ours
			resp, err = tr.RoundTrip(r)
			if c.header != nil {
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			} else if !errors.Is(err, retry.ErrNonIdempotent) {
				t.Errorf("got %v", err)
			}
			if attempts != c.attempts || sends.Load() != c.sends {
				t.Errorf("%d attempts, %d sends", attempts, sends.Load())
			}
		})
	}
}

// golang/go#39086: without GetBody a request that a server going away did not process fails with "cannot
// retry err ... after Request.Body was written; define Request.GetBody". The Transport
// defines it.
func TestServerThatGoesAwayIsSurvivedByNetHTTPItself(t *testing.T) {
	var bodies []string
	got := make(chan string, 8)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
	}), Protocols: new(http.Protocols), ErrorLog: quiet()}
	server.Protocols.SetUnencryptedHTTP2(true)
	rest := &handover{conns: make(chan net.Conn, 8), done: make(chan struct{})}
	go func() { _ = server.Serve(rest) }()
	defer server.Close()
	var conns atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if conns.Add(1) == 1 {
				go goAway(c)
			} else {
				rest.conns <- c
			}
		}
	}()
	attempts := 0
	base := &http.Transport{Protocols: new(http.Protocols)}
	base.Protocols.SetUnencryptedHTTP2(true)
	defer base.CloseIdleConnections()
	tr := &httpmw.Transport{Policy: atOnce(), Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		attempts++
		return base.RoundTrip(r)
	})}
	r := request(t, http.MethodPost, "http://"+l.Addr().String(), "") // no key: GOAWAY says that it was not processed
	r.Body = io.NopCloser(strings.NewReader("recorded"))
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	bodies = append(bodies, <-got)
	if len(got) != 0 || bodies[0] != "recorded" || attempts != 1 || conns.Load() != 2 {
		t.Errorf("bodies %q, %d attempts, %d connections", bodies, attempts, conns.Load())
	}
}

// handover is a listener of connections that somebody else accepted.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error { close(h.done); return nil }

func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// goAway speaks as much HTTP/2 (RFC 9113) as is needed to refuse the first request: settings, then GOAWAY with last
// stream 0 once the request's data has come.
func goAway(c net.Conn) {
	defer c.Close()
	frame := func(kind, flags byte, payload []byte) {
		head := make([]byte, 9, 9+len(payload))
		head[0], head[1], head[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
		head[3], head[4] = kind, flags
		_, _ = c.Write(append(head, payload...))
	}
	const data, settings, goaway, ack, endStream = 0, 4, 7, 1, 1
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	frame(settings, 0, nil)
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		n := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, n); err != nil {
			return
		}
		switch {
		case head[3] == settings && head[4]&ack == 0:
			frame(settings, ack, nil)
		case head[3] == data && head[4]&endStream != 0:
			frame(goaway, 0, binary.BigEndian.AppendUint64(nil, 0)) // last stream 0, no error
			_, _ = io.Copy(io.Discard, c)
			return
		}
	}
}
