package httpmw

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"example.com/once/idem"
)

// The states that a [KeyStatus] tells.
const (
	StateAbsent   = "absent"          // no such key in this scope, or no more: a request with it runs as new
	StateInFlight = "in-flight"       // a request with this key runs
	StateDone     = "done"            // it has been answered
	StateReleased = "released"        // an attempt ended without a recorded answer: the same request may be sent again
	StateExpired  = "expired"         // an attempt broke off: the same request may be sent again, or finds outcome-unknown
	StateUnknown  = "outcome-unknown" // an attempt ended without a known outcome: to be settled by the operator
)

// KeyStatus is what [Idempotency.Status] answers, as JSON.
type KeyStatus struct {
	State string `json:"state"` // one of the State constants
	// OriginalStatus is the HTTP status of the recorded answer, when done; 0 = unknown.
	OriginalStatus int `json:"original_status,omitempty"`
	// Replayable says that the same request would get the recorded answer, when done. If it is
	// false, only the fact was kept.
	Replayable bool `json:"replayable,omitempty"`
	// Seconds is how long this holds: of the retention when done, of the lease when in
	// flight, rounded up. A lease is renewed as long as its request runs.
	Seconds int64 `json:"seconds,omitempty"`
	// Reference names the record to the operator, when the outcome is unknown.
	Reference string `json:"reference,omitempty"`
}

// Status returns a handler that tells what became of a key, without running anything: a GET with the key in
// its header is answered with a [KeyStatus], and with 404 if the key is absent. It sees the keys of
// the request's own [Scope] only; those of others are absent. A done key is subject to
// Authorize. The answer itself is got by repeating the request.
//
// Put it where requests are authenticated like those of the handlers. The error says that the Guard's
// store is no idem.Inspector, or that ScopeByRoute makes keys depend on a route that a status request
// does not have.
func (m *Idempotency) Status() (http.Handler, error) {
	switch {
	case !m.guard.CanInspect():
		return nil, errors.New("httpmw: Status: the Guard's store cannot be inspected: it does not implement idem.Inspector")
	case m.c.ScopeByRoute:
		return nil, errors.New("httpmw: Status: IdempotencyConfig.ScopeByRoute is set: the key of a status request belongs to no route")
	case len(m.c.Headers) == 0:
		return nil, errors.New("httpmw: Status: IdempotencyConfig.Headers is empty: a status request has no body to carry the key")
	}
	return http.HandlerFunc(m.status), nil
}

func (m *Idempotency) status(w http.ResponseWriter, r *http.Request) {
	x := &exchange{m: m, w: w, r: r}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	key, err := m.headerKey(r)
	switch {
	case err != nil:
		x.problem(keyProblem(err))
		return
	case key == "":
		x.problem(problemFor(CodeKeyMissing))
		return
	}
	scope, err := m.owner(r)
	if err != nil {
		x.problem(refusal(err, CodeScopeFailed))
		return
	}
	x.key = m.physicalKey(scope, key, r)
	rec, err := m.guard.Inspect(r.Context(), x.key)
	if err != nil && !errors.Is(err, idem.ErrNoResult) && !errors.Is(err, idem.ErrRecorded) {
		m.c.Logger.ErrorContext(r.Context(), "httpmw: idempotency store failed", "key", x.key, "error", err)
		x.problem(problemFor(CodeStoreUnavailable))
		return
	}
	if rec.State == idem.Done && m.c.Authorize != nil {
		if err := m.c.Authorize(r); err != nil {
			x.problem(refusal(err, CodeForbidden))
			return
		}
	}
	writeStatus(w, keyStatus(rec, x.key))
}

func keyStatus(rec idem.Record, key idem.Key) KeyStatus {
	s := KeyStatus{State: StateAbsent}
	switch rec.State {
	case idem.InFlight, idem.Acquired:
		s.State, s.Seconds = StateInFlight, wholeSeconds(rec.Left)
	case idem.Done:
		s.State, s.Seconds = StateDone, wholeSeconds(rec.Left)
		if answer, err := openRecord(rec.Result); err == nil {
			s.OriginalStatus, s.Replayable = answer.status, !answer.tombstone
		}
	case idem.Released:
		s.State = StateReleased
	case idem.Expired:
		s.State = StateExpired
	case idem.Mismatch: // no claim was made that could be one
	case idem.Abandoned:
		s.State, s.Reference = StateUnknown, string(key)
	}
	return s
}

func writeStatus(w http.ResponseWriter, s KeyStatus) {
	body, err := json.Marshal(s)
	if err != nil { // a struct of strings and numbers marshals
		panic(fmt.Sprintf("httpmw: %v", err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	if s.State == StateInFlight {
		h.Set("Retry-After", "1")
	}
	status := http.StatusOK
	if s.State == StateAbsent {
		status = http.StatusNotFound
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
