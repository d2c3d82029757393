package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The answers that README.md shows are those that the program gives.
func TestReadmeTranscript(t *testing.T) {
	handler, err := protect(&shop{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?m)^\$ curl -i -d (\w+) -H 'Idempotency-Key: "(\w+)"' localhost:8080/orders\n((?:.*\n)+?)(?:\n|` + "```)")
	found := calls.FindAllStringSubmatch(string(readme), -1)
	if len(found) != 3 {
		t.Fatalf("README.md shows %d calls, want 3: first, replay, another payload", len(found))
	}
	for _, call := range found {
		req, err := http.NewRequest(http.MethodPost, server.URL+"/orders", strings.NewReader(call[1]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Idempotency-Key", fmt.Sprintf("%q", call[2]))
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := httputil.DumpResponse(resp, true)
		if err != nil {
			t.Fatal(err)
		}
		// README.md leaves headers out that say nothing here.
		lines := bufio.NewScanner(strings.NewReader(call[3]))
		for lines.Scan() {
			if line := lines.Text(); !strings.Contains(string(answer), line) {
				t.Errorf("curl -d %s: README.md shows %q, the program answers:\n%s", call[1], line, answer)
			}
		}
	}
}
