package httpmwtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

type testCase struct {
	name  string
	level Level
	run   func(context.Context, *session) error
}

// cases are in an order that fails early: what later ones rest on comes first.
func cases() []testCase {
	return []testCase{
		{"a quoted key is taken", Must, takesQuotedKey},
		{"a repeat gets the same answer", Should, repeatsGetTheSame},
		{"a repeat has no effect of its own", Should, repeatsHaveNoEffect},
		{"another key is another request", Must, anotherKeyRuns},
		{"another payload is refused with 422", Should, mismatchIsRefused},
		{"a refused payload leaves the answer alone", Should, mismatchLeavesTheAnswer},
		{"a missing key is refused with 400", Should, missingKeyIsRefused},
		{"a malformed key is refused with 400", Must, malformedKeyIsRefused},
		{"a key given twice is refused with 400", Must, keyGivenTwiceIsRefused},
		{"parameters of the key are ignored", Must, parametersAreIgnored},
		{"escapes in the key are decoded", Must, escapesAreTaken},
		{"duplicates at once have one effect", Must, duplicatesHaveOneEffect},
		{"duplicates in flight are refused with 409", Should, duplicatesAreRefused},
		{"refusals say why", Should, refusalsExplain},
		{"a client that leaves loses nothing", Beyond, leavingLosesNothing},
		{"two callers may use one key", Should, callersDoNotMeet},
		{"a replay is marked", Beyond, replaysAreMarked},
		{"a replay sets no cookies", Beyond, replaysSetNoCookies},
		{"a long key is taken", Beyond, longKeyIsTaken},
		{"an overlong key is refused", Beyond, overlongKeyIsRefused},
		{"refusals do not show the key", Beyond, refusalsKeepTheKey},
	}
}

func takesQuotedKey(ctx context.Context, s *session) error {
	_, _, err := s.first(ctx)
	return err
}

func repeatsGetTheSame(ctx context.Context, s *session) error {
	key, first, err := s.first(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		again, err := s.once(ctx, 0, key)
		if err != nil {
			return err
		}
		if !again.same(first) {
			return fmt.Errorf("first %s, then %s", first, again)
		}
		if a, b := first.header.Get("Content-Type"), again.header.Get("Content-Type"); a != b {
			return fmt.Errorf("first of type %q, then of type %q", a, b)
		}
	}
	return nil
}

func repeatsHaveNoEffect(ctx context.Context, s *session) error {
	if s.Effects == nil {
		return skipError("needs Target.Effects")
	}
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	key, _, err := s.first(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := s.once(ctx, 0, key); err != nil {
			return err
		}
	}
	return s.tookEffect(ctx, before, 1)
}

// anotherKeyRuns catches services that go by the payload alone.
func anotherKeyRuns(ctx context.Context, s *session) error {
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		_, r, err := s.first(ctx)
		if err != nil {
			return err
		}
		if r.marked() {
			return fmt.Errorf("a new key got a replay: %s", r)
		}
	}
	return s.tookEffect(ctx, before, 2)
}

func mismatchIsRefused(ctx context.Context, s *session) error {
	key, _, err := s.first(ctx)
	if err != nil {
		return err
	}
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	r, err := s.once(ctx, 1, key)
	if err != nil {
		return err
	}
	if r.status != http.StatusUnprocessableEntity {
		return fmt.Errorf("answered with %s", r)
	}
	return s.tookEffect(ctx, before, 0)
}

func mismatchLeavesTheAnswer(ctx context.Context, s *session) error {
	key, first, err := s.first(ctx)
	if err != nil {
		return err
	}
	if _, err := s.once(ctx, 1, key); err != nil {
		return err
	}
	again, err := s.once(ctx, 0, key)
	if err != nil {
		return err
	}
	if !again.same(first) {
		return fmt.Errorf("first %s, then %s", first, again)
	}
	return nil
}

// refused sends one request that has to be refused with status and without effect.
func (s *session) refused(ctx context.Context, what string, a ask, statuses ...int) error {
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	r, err := s.send(ctx, a)
	if err != nil {
		return err
	}
	if !slices.Contains(statuses, r.status) {
		return fmt.Errorf("%s was answered with %s", what, r)
	}
	return s.tookEffect(ctx, before, 0)
}

func missingKeyIsRefused(ctx context.Context, s *session) error {
	if !s.Required {
		return skipError("needs Target.Required")
	}
	return s.refused(ctx, "a request without a key", ask{}, http.StatusBadRequest)
}

func malformedKeyIsRefused(ctx context.Context, s *session) error {
	k := newKey()
	for what, value := range map[string]string{
		"an unfinished string":     `"` + k,
		"a list":                   quoted(k) + `, ` + quoted(k+"2"),
		"an empty string":          `""`,
		"an empty value":           "",
		"characters beyond ASCII":  `"schlüssel` + k + `"`,
		"an escape that is none":   `"\n` + k + `"`,
		"something after a string": quoted(k) + "x",
	} {
		if err := s.refused(ctx, what, ask{keys: []string{value}}, http.StatusBadRequest); err != nil {
			return err
		}
	}
	return nil
}

func keyGivenTwiceIsRefused(ctx context.Context, s *session) error {
	return s.refused(ctx, "a request with two keys", ask{keys: []string{quoted(newKey()), quoted(newKey())}}, http.StatusBadRequest)
}

func parametersAreIgnored(ctx context.Context, s *session) error {
	return s.oneKey(ctx, func(key string) (string, string) { return quoted(key), quoted(key) + `;v=1;w="x"` })
}

func escapesAreTaken(ctx context.Context, s *session) error {
	return s.oneKey(ctx, func(key string) (string, string) { return `"a\"b\\` + key + `"`, `"a\"b\\` + key + `";p` })
}

// oneKey checks that two forms of a header value are one key.
func (s *session) oneKey(ctx context.Context, forms func(key string) (first, second string)) error {
	a, b := forms(newKey())
	first, err := s.send(ctx, ask{keys: []string{a}})
	if err != nil {
		return err
	}
	if !first.succeeded() {
		return fmt.Errorf("%s was answered with %s", a, first)
	}
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	again, err := s.send(ctx, ask{keys: []string{b}})
	if err != nil {
		return err
	}
	if !again.same(first) {
		return fmt.Errorf("%s got %s, %s got %s", a, first, b, again)
	}
	return s.tookEffect(ctx, before, 0)
}

func refusalsExplain(ctx context.Context, s *session) error {
	malformed, err := s.send(ctx, ask{keys: []string{`"`}})
	if err != nil {
		return err
	}
	if malformed.status >= http.StatusBadRequest && !malformed.explains() {
		return fmt.Errorf("neither a problem document nor a link: %s", malformed)
	}
	key, _, err := s.first(ctx)
	if err != nil {
		return err
	}
	mismatch, err := s.once(ctx, 1, key)
	if err != nil {
		return err
	}
	if mismatch.status >= http.StatusBadRequest && !mismatch.explains() {
		return fmt.Errorf("neither a problem document nor a link: %s", mismatch)
	}
	return nil
}

func callersDoNotMeet(ctx context.Context, s *session) error {
	if s.Other == nil {
		return skipError("needs Target.Other")
	}
	key, first, err := s.first(ctx)
	if err != nil {
		return err
	}
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	for n := range 2 { // with the same payload, and with another one
		r, err := s.send(ctx, ask{n: n, keys: []string{quoted(key + strings.Repeat("x", n))}, header: s.Other})
		if err != nil {
			return err
		}
		if r.marked() || !r.succeeded() {
			return fmt.Errorf("the second caller got %s, the first had %s", r, first)
		}
	}
	return s.tookEffect(ctx, before, 2)
}

func replaysAreMarked(ctx context.Context, s *session) error {
	key, first, err := s.first(ctx)
	if err != nil {
		return err
	}
	again, err := s.once(ctx, 0, key)
	switch {
	case err != nil:
		return err
	case first.marked():
		return errors.New("the first answer is marked as a replay")
	case !again.marked():
		return errors.New("the replay does not carry Idempotent-Replayed: true")
	}
	return nil
}

func replaysSetNoCookies(ctx context.Context, s *session) error {
	key, _, err := s.first(ctx)
	if err != nil {
		return err
	}
	again, err := s.once(ctx, 0, key)
	if err == nil && len(again.header.Values("Set-Cookie")) > 0 {
		err = errors.New("the replay sets a cookie")
	}
	return err
}

func longKeyIsTaken(ctx context.Context, s *session) error {
	key := newKey()
	return s.oneKey(ctx, func(string) (string, string) {
		const most = 255
		long := quoted(key + strings.Repeat("k", most-len(key)))
		return long, long
	})
}

func overlongKeyIsRefused(ctx context.Context, s *session) error {
	return s.refused(ctx, "a key of 8000 characters", ask{keys: []string{quoted(strings.Repeat("k", 8000))}},
		http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge)
}

func refusalsKeepTheKey(ctx context.Context, s *session) error {
	key, _, err := s.first(ctx)
	if err != nil {
		return err
	}
	r, err := s.once(ctx, 1, key)
	if err != nil {
		return err
	}
	if strings.Contains(r.body, key) || strings.Contains(fmt.Sprint(r.header), key) {
		return fmt.Errorf("the key is in %s", r)
	}
	return nil
}
