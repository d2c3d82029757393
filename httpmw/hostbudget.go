package httpmw

import (
	"net/url"
	"strings"
	"sync"

	"example.com/once/retry"
)

// hostBudgets are the budgets that a Transport keeps for the hosts it talks to. The zero
// value works.
type hostBudgets struct {
	mu  sync.Mutex
	all map[string]*retry.Budget
}

// maxHosts bounds the memory of clients that talk to everybody.
const maxHosts = 1024

func (h *hostBudgets) of(u *url.URL) *retry.Budget {
	host := ""
	if u != nil {
		host = strings.ToLower(u.Host)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.all[host]; b != nil {
		return b
	}
	if h.all == nil {
		h.all = make(map[string]*retry.Budget)
	}
	if len(h.all) >= maxHosts {
		h.evict()
	}
	b := new(retry.Budget)
	h.all[host] = b
	return b
}

// evict makes room: budgets that are full say nothing that a new one would not say. If all
// are in use, some other goes.
func (h *hostBudgets) evict() {
	full := new(retry.Budget).Tokens()
	for host, b := range h.all {
		if b.Tokens() >= full {
			delete(h.all, host)
		}
	}
	for host := range h.all {
		if len(h.all) < maxHosts {
			return
		}
		delete(h.all, host)
	}
}
