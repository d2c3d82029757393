package outboxhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/once/outbox"
	"example.com/once/retry"
)

// ErrGone is matched by the error of a message that the receiver answered with 410: it
// wants no webhooks any more. Stop writing messages for it.
var ErrGone = errors.New("outboxhttp: the receiver is gone for good")

// StatusError is the error of a message that the receiver did not accept.
type StatusError struct {
	Host    string // of the URL
	Code    int    // HTTP status
	Excerpt string // the answer's first bytes, at most 256, without secrets
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("outboxhttp: %s answered %d %s", e.Host, e.Code, http.StatusText(e.Code))
	s = strings.TrimRight(s, " ")
	if e.Excerpt != "" {
		s += fmt.Sprintf(": %q", e.Excerpt)
	}
	return s
}

func (e *StatusError) Is(target error) bool {
	return target == ErrGone && e.Code == http.StatusGone
}

const (
	maxExcerpt    = 256
	maxRead       = 4 << 10  // of an answer that is quoted: no secret is then cut in two where the excerpt ends
	maxDrain      = 64 << 10 // what is read so that the connection can be used again
	maxRetryAfter = 24 * time.Hour
)

// answered judges an answer and closes it.
func (p *Publisher) answered(r *http.Response) error {
	defer r.Body.Close()
	var head []byte
	if r.StatusCode/100 != 2 {
		head, _ = io.ReadAll(io.LimitReader(r.Body, maxRead)) // what came is enough
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxDrain)) // a failure costs the connection only
	if r.StatusCode/100 == 2 {
		return nil
	}
	err := error(&StatusError{Host: p.host, Code: r.StatusCode, Excerpt: p.excerpt(head, r.Request)})
	wait, asked := retryAfter(r.Header)
	switch r.StatusCode {
	case http.StatusGone:
		return retry.Stop(err)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		err = outbox.Unavailable(err)
	default:
		if !asked && refusal(r.StatusCode) {
			return retry.Stop(err)
		}
	}
	if asked {
		err = retry.After(err, wait)
	}
	return err
}

// refusal says whether a status speaks of the message itself, so that the same message
// will meet it again. Others, such as 401 and 404, speak of a receiver or a setting that can
// be mended while attempts last.
func refusal(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusLengthRequired, http.StatusRequestEntityTooLarge,
		http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusExpectationFailed,
		http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// excerpt is the beginning of an answer, fit to be shown.
func (p *Publisher) excerpt(head []byte, r *http.Request) string {
	s := p.secrets.Replace(string(head))
	if r != nil {
		for sig := range strings.FieldsSeq(r.Header.Get(headerSignature)) {
			s = strings.ReplaceAll(s, strings.TrimPrefix(sig, "v1,"), "[redacted]")
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(s[:min(len(s), maxExcerpt)], ""))
}

// retryAfter reads how long the receiver wants to be left alone, at most a day. A date is
// read against the answer's own, since the receiver's clock need not be ours.
func retryAfter(h http.Header) (wait time.Duration, ok bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if n, err := strconv.ParseUint(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second, true
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(until.Sub(now), 0), maxRetryAfter), true
}
