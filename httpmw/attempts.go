package httpmw

import (
	"net/http"
	"strconv"

	"example.com/once/retry"
)

// Attempts is a middleware that lets a handler know by [retry.Attempt] that its request is a
// repeat, as [HeaderAttempt] says. The handler's own retried calls then make one attempt each
// (see [retry.Nested]): the caller outside repeats already. The header is the client's to choose; all
// that it can gain is fewer repeats of its own request.
func Attempts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const most = 1000 // beyond that it is no count
		if lines := r.Header[HeaderAttempt]; len(lines) == 1 {
			if n, err := strconv.Atoi(lines[0]); err == nil && n > 1 && n <= most {
				r = r.WithContext(retry.WithAttempt(r.Context(), n))
			}
		}
		next.ServeHTTP(w, r)
	})
}
