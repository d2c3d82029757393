package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"example.com/once/outbox"
	"example.com/once/retry"
)

const (
	maxAlerts  = 256 // in one request
	maxExcerpt = 256
	maxDrain   = 64 << 10 // what is read so that the connection can be used again
)

// StatusError is the error of alerts that an instance did not take.
type StatusError struct {
	Host    string // of the instance
	Code    int    // HTTP status
	Excerpt string // the answer's first bytes, at most 256
}

func (e *StatusError) Error() string {
	s := strings.TrimRight(fmt.Sprintf("alertmanager: %s answered %d %s", e.Host, e.Code, http.StatusText(e.Code)), " ")
	if e.Excerpt != "" {
		s += fmt.Sprintf(": %q", e.Excerpt)
	}
	return s
}

// postAll posts alerts and calls result for each, with nil for those that the instance has.
// It takes a request as a whole or not at all; so when it refuses one, the alerts go one by
// one, and only those that are wrong are refused.
func (p *Publisher) postAll(ctx context.Context, alerts []alert, result func(i int, err error)) {
	for from := 0; from < len(alerts); from += maxAlerts {
		chunk := alerts[from:min(from+maxAlerts, len(alerts))]
		err := p.post(ctx, chunk)
		if len(chunk) == 1 || !refused(err) {
			for i := range chunk {
				result(from+i, err)
			}
			continue
		}
		for i := range chunk {
			result(from+i, p.post(ctx, chunk[i:i+1]))
		}
	}
}

// post makes one request.
func (p *Publisher) post(ctx context.Context, alerts []alert) error {
	if ctx.Err() != nil {
		return outbox.ErrNotSent
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		return retry.Stop(fmt.Errorf("alertmanager: %w", err))
	}
	within, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(within, http.MethodPost, p.endpoint, bytes.NewReader(body))
	if err != nil {
		return retry.Stop(fmt.Errorf("alertmanager: %w", err))
	}
	maps.Copy(r.Header, p.header)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "once-monitor")
	answer, err := p.client.Do(r)
	if err != nil {
		return p.unanswered(ctx, err)
	}
	return p.answered(answer)
}

// unanswered judges a request without an answer. Whether it had an effect does not
// matter: the same alert posted twice is one alert.
func (p *Publisher) unanswered(ctx context.Context, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok { // its text would repeat method and address
		err = u.Err
	}
	err = fmt.Errorf("alertmanager: POST to %s: %w", p.host, err)
	if ctx.Err() != nil {
		return err // the relay ended the call, and knows what that means
	}
	return outbox.Unavailable(err)
}

// answered judges an answer and closes it.
func (p *Publisher) answered(answer *http.Response) error {
	defer answer.Body.Close()
	head, _ := io.ReadAll(io.LimitReader(answer.Body, maxExcerpt)) // what came is enough
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxDrain))
	code := answer.StatusCode
	if code/100 == 2 {
		return nil
	}
	err := error(&StatusError{Host: p.host, Code: code, Excerpt: strings.TrimSpace(strings.ToValidUTF8(string(head), ""))})
	switch {
	case refusal(code):
		return retry.Stop(err)
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		err = outbox.Unavailable(err)
		if s, parseErr := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16); parseErr == nil {
			err = retry.After(err, time.Duration(s)*time.Second)
		}
	}
	return err // such as 401 and 404: wrong settings, which can be mended while attempts last
}

// refusal says whether a status speaks of the alerts themselves.
func refusal(code int) bool {
	switch code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// refused says whether err is a refusal of the alerts themselves.
func refused(err error) bool {
	s, ok := errors.AsType[*StatusError](err)
	return ok && refusal(s.Code)
}
