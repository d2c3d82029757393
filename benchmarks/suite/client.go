package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"example.com/once/benchmarks/measure"
	"example.com/once/httpmw"
)

// answerSize is how many bytes the answers have that a client gets.
const answerSize = 128

const (
	clientSuite  = "client"
	loopback     = "loopback"
	clientGET    = "http.Client-GET"
	transportGET = "Transport-GET"
)

// Client compares an http.Client with one that has a [httpmw.Transport] in it, over loopback, on
// connections that are kept. Every request is answered at once. What is measured includes the
// server, in the same process: allocations compare by their difference only.
func Client() measure.Group {
	return measure.Group{
		Suite: clientSuite, Backend: loopback, Durability: transient, Callers: []int{1},
		Ops: []measure.Op{
			{Name: clientGET, Open: openDialog(http.MethodGet, false)},
			{Name: transportGET, Bare: clientGET, Open: openDialog(http.MethodGet, true)},
			{Name: "http.Client-POST", Open: openDialog(http.MethodPost, false)},
			{Name: "Transport-POST", Bare: "http.Client-POST", Open: openDialog(http.MethodPost, true)},
		},
	}
}

// dialog is a server on loopback and a client that keeps its connections.
type dialog struct {
	method string
	url    string
	client http.Client
	conns  *http.Transport
	server http.Server
	served chan error
	here   atomic.Int64 // requests that came
	key    bool         // the client has to make the key of a POST; the Transport does it by itself
}

func openDialog(method string, transport bool) func(context.Context, int) (*measure.Job, error) {
	return func(ctx context.Context, callers int) (*measure.Job, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen on loopback: %w", err)
		}
		d := &dialog{
			method: method, url: "http://" + l.Addr().String() + "/orders/1",
			conns:  &http.Transport{MaxIdleConnsPerHost: callers},
			served: make(chan error, 1),
			key:    !transport,
		}
		d.client.Transport = d.conns
		if transport {
			d.client.Transport = &httpmw.Transport{Base: d.conns, Key: httpmw.NewKey}
		}
		d.server = http.Server{Handler: http.HandlerFunc(d.answer), ReadHeaderTimeout: time.Minute}
		go func() { d.served <- d.server.Serve(l) }()
		return &measure.Job{
			Call: func(ctx context.Context, _ int) error { return d.ask(ctx) },
			Check: func(_ context.Context, calls int64) error {
				return want("requests at the server", d.here.Load(), calls, nil)
			},
			Close: d.close,
		}, nil
	}
}

func (d *dialog) answer(w http.ResponseWriter, r *http.Request) {
	d.here.Add(1)
	size, keys := int64(0), 0
	if r.Method == http.MethodPost {
		size, keys = requestSize, 1
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != size || r.Method != d.method || len(r.Header[httpmw.HeaderKey]) != keys {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(make([]byte, answerSize))
}

func (d *dialog) ask(ctx context.Context) error {
	var payload io.Reader
	if d.method == http.MethodPost {
		payload = bytes.NewReader(make([]byte, requestSize))
	}
	req, err := http.NewRequestWithContext(ctx, d.method, d.url, payload)
	if err != nil {
		return err
	}
	if payload != nil && d.key {
		req.Header[httpmw.HeaderKey] = []string{httpmw.NewKey(req)}
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || n != answerSize {
		return fmt.Errorf("status %d, %d bytes; want 200, %d", resp.StatusCode, n, answerSize)
	}
	return nil
}

func (d *dialog) close() error {
	d.conns.CloseIdleConnections()
	err := d.server.Close()
	if end := <-d.served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}
