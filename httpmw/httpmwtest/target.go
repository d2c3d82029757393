package httpmwtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Target is the operation to check.
type Target struct {
	// URL of the operation, absolute.
	URL string
	// Method of the operation; "" = POST.
	Method string
	// Header is sent with every request, for authentication. The key is added to it.
	Header http.Header
	// Other is the Header of a second caller, who must not meet the first one's keys; nil =
	// scopes are not checked.
	Other http.Header
	// Body makes the n-th valid payload: the same n gives the same bytes, another n another
	// content. nil = {"n":<n>}.
	Body func(n int) []byte
	// ContentType of the payloads; "" = application/json.
	ContentType string
	// Required says that the operation promises to refuse requests without a key.
	Required bool
	// Effects tells how often the operation has taken effect until now; nil = effects are judged
	// by answers only. Nobody else may use the operation meanwhile.
	Effects func(context.Context) (int, error)
	// Parallel is how many requests are sent at once where duplicates race; 0 = 8.
	Parallel int
	// Client sends the requests; nil = one of its own that follows no redirects.
	Client *http.Client
}

// prepared is t, checked, with its defaults filled in.
func prepared(t Target) (Target, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return t, fmt.Errorf("httpmwtest: Target.URL is %q: give an absolute http or https address", t.URL)
	}
	if t.Parallel < 0 || t.Parallel == 1 {
		return t, fmt.Errorf("httpmwtest: Target.Parallel is %d: give at least 2, or 0 for 8", t.Parallel)
	}
	if t.Parallel == 0 {
		t.Parallel = 8
	}
	if t.Method == "" {
		t.Method = http.MethodPost
	}
	if t.ContentType == "" {
		t.ContentType = "application/json"
	}
	if t.Body == nil {
		t.Body = func(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }
	}
	if string(t.Body(0)) == string(t.Body(1)) {
		return t, errors.New("httpmwtest: Target.Body gives the same bytes for 0 and 1: another n must be another payload")
	}
	if t.Client == nil {
		t.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return t, nil
}
