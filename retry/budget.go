package retry

// Budget is a token bucket that keeps retries a share of successes. The zero
// value works: 10 %, at least 10 a second, 100 tokens. Share one for all calls to
// one destination; it is lock-free and must not be copied after first use.
type Budget struct {
	Ratio     float64 // tokens earned by a success; 0 = 0.1
	PerSecond float64 // tokens earned by a second; 0 = 10
	Burst     int     // tokens held at most; 0 = 100
}
