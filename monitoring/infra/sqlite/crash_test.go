package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

const (
	childFile  = "ONCE_TEST_SQLITE_FILE" // makes the test binary a child that works on this file
	crashSlots = 200
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashRules are what the children evaluate: one that flaps, one with a memory and one that looks back.
func crashRules() ([]*domain.Rule, error) {
	var rules []*domain.Rule
	for name, expr := range map[string]string{"Flap": "x > 0.7", "Patient": "x > 0.4", "Rate": "rate(y_total[5s]) > 0.5"} {
		c, err := domain.ParseCondition(expr)
		if err != nil {
			return nil, err
		}
		rules = append(rules, &domain.Rule{ID: "crash/" + name, Group: "crash", Name: name, Condition: c, Interval: time.Second})
		if name == "Patient" {
			rules[len(rules)-1].For, rules[len(rules)-1].KeepFiringFor = 2*time.Second, 2*time.Second
		}
	}
	return rules, nil
}

// child is a replica that evaluates slot after slot and says so, until it is done or killed.
// No two of its kind see the same samples, so that nothing agrees by accident.
func child(path string) error {
	go func() { // whoever started it has gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	ctx := context.Background()
	d, err := Open(ctx, Config{Path: path, BusyTimeout: time.Minute})
	if err != nil {
		return err
	}
	rules, err := crashRules()
	if err != nil {
		return err
	}
	m, err := app.New(d, app.Config{
		Replica: strconv.Itoa(os.Getpid()), Rules: rules, Sinks: []app.Sink{{Name: "pager", Lane: 1}, {Name: "chat", Lane: 2}},
	})
	if err != nil {
		return err
	}
	last := crashSlots
	views, err := d.Rules(ctx)
	if err != nil {
		return err
	}
	if len(views) < len(rules) {
		last = 0
	}
	for _, v := range views {
		last = min(last, int(v.Slot.Sub(at(0))/time.Second))
	}
	for second := max(last-3, 1); second <= crashSlots; second++ {
		s := app.Snapshot{Slot: at(second)}
		for i := range 5 {
			s.Samples = append(s.Samples,
				domain.Sample{Labels: domain.LabelsOf(domain.MetricName, "x", "i", strconv.Itoa(i)), Value: rand.Float64(), At: at(second)},
				domain.Sample{Labels: domain.LabelsOf(domain.MetricName, "y_total", "i", strconv.Itoa(i)), Value: rand.Float64() * 2, At: at(second)})
		}
		for _, r := range rules {
			out, _, err := m.EvaluateSlot(ctx, r, s)
			if err != nil {
				return err
			}
			fmt.Printf("%s %d %s %d %d\n", r.ID, second, out.Replica, len(out.Transitions), out.Messages)
		}
	}
	return d.Close()
}

// told is what children said they had committed, or found committed.
type told struct {
	mu     sync.Mutex
	claims map[string]string // rule and slot → replica, transitions, messages
	wrong  []string
}

// listen reads what a child says, and calls heard after each line.
func (t *told) listen(r io.Reader, heard func()) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return // a line that breaks off was not said
		}
		words := strings.Fields(line)
		key, value := strings.Join(words[:2], " "), strings.Join(words[2:], " ")
		t.mu.Lock()
		if before, ok := t.claims[key]; ok && before != value {
			t.wrong = append(t.wrong, fmt.Sprintf("%s: one was told %q, another one %q", key, before, value))
		}
		t.claims[key] = value
		t.mu.Unlock()
		heard()
	}
}

// TestCrash kills replicas with SIGKILL at random moments while they work on one file, three
// at a time, and starts them again until all slots are evaluated. Then everything in the file must
// agree, and with everything that any of them was told.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	said := &told{claims: make(map[string]string)}
	var kills atomic.Int32
	var wg sync.WaitGroup
	for worker := range 3 {
		r := rand.New(rand.NewPCG(uint64(worker), 1))
		wg.Go(func() {
			for {
				killed, err := runChild(t, path, said, r)
				if err != nil {
					t.Error(err)
				}
				if !killed {
					return
				}
				kills.Add(1)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if t.Logf("%d kills", kills.Load()); kills.Load() < 10 {
		t.Errorf("only %d kills; the children are done before anything can happen to them", kills.Load())
	}
	d := open(t, path)
	for _, w := range said.wrong {
		t.Error(w)
	}
	checkFile(t, d, said.claims)
}

// runChild runs a child and kills it: a moment after it has said enough, so that each brings
// the work on, however slow the machine is. One in five is killed while it starts.
func runChild(t *testing.T, path string, said *told, r *rand.Rand) (killed bool, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childFile+"="+path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe() // closed when this process ends, however it does
	if err != nil {
		return false, err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	var dead atomic.Bool
	kill := time.AfterFunc(time.Hour, func() {
		dead.Store(true)
		_ = cmd.Process.Kill()
	})
	defer kill.Stop()
	if r.IntN(5) == 0 {
		kill.Reset(time.Duration(r.IntN(100)) * time.Millisecond)
	}
	lines, enough := 0, 20+r.IntN(80)
	said.listen(out, func() {
		if lines++; lines == enough {
			kill.Reset(time.Duration(r.IntN(5000)) * time.Microsecond)
		}
	})
	switch err := cmd.Wait(); {
	case err == nil:
		return false, nil
	case dead.Load():
		return true, nil
	default:
		return false, fmt.Errorf("a child failed: %w\n%s", err, stderr.String())
	}
}

// checkFile holds the file against itself: claims, evaluations, states, transitions, messages
// and outbox, and the outcomes that were told.
func checkFile(t *testing.T, d *DB, claims map[string]string) {
	t.Helper()
	ctx := t.Context()
	var integrity string
	if err := d.read.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&integrity); err != nil || integrity != "ok" {
		t.Fatalf("integrity_check: %s, %v", integrity, err)
	}
	rules, err := crashRules()
	if err != nil {
		t.Fatal(err)
	}
	transitions, messages := 0, 0
	for _, r := range rules {
		var state domain.State
		var history []domain.Sample
		for second := 1; second <= crashSlots; second++ {
			slot := at(second)
			where := fmt.Sprintf("%s at %d", r.ID, second)
			out, replayed, err := d.Once(ctx, app.Key(r.ID, slot), func(context.Context, app.Tx) (app.Outcome, error) {
				return app.Outcome{}, fmt.Errorf("there is no claim of %s", where)
			})
			if err != nil || !replayed {
				t.Fatalf("%s: replayed %v, %v", where, replayed, err)
			}
			want := fmt.Sprintf("%s %d %d", out.Replica, len(out.Transitions), out.Messages)
			if got, ok := claims[fmt.Sprintf("%s %d", r.ID, second)]; ok && got != want {
				t.Errorf("%s: the claim says %s, and a child was told %s", where, want, got)
			}
			in, replica, missed := recorded(t, d, r.ID, slot)
			if replica != out.Replica || missed != 0 {
				t.Errorf("%s: evaluated by %s after %d missed slots, and the claim says %s", where, replica, missed, out.Replica)
			}
			in.Slot, in.History = slot, history
			next, made, err := domain.Evaluate(r, in, state)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(transitionsAt(t, d, r.ID, slot)); got != fmt.Sprint(identities(made)) || got != fmt.Sprint(out.Transitions) {
				t.Errorf("%s:\nrecorded %s\nreplayed %v\nclaimed  %v", where, got, identities(made), out.Transitions)
			}
			sent := 0
			for _, x := range made {
				if x.Notifies() {
					sent += 2
				}
			}
			if n := count(t, d, `SELECT COUNT(*) FROM message JOIN once_outbox ON msg_id = id WHERE rule_id = ? AND slot = ?`, r.ID, encodeTime(slot)); n != sent || n != out.Messages {
				t.Errorf("%s: %d messages in the outbox, %d are to be sent, and the claim says %d", where, n, sent, out.Messages)
			}
			transitions, messages = transitions+len(made), messages+sent
			state, history = next, append(history, in.Samples...)
		}
		var slot int64
		var data []byte
		if err := d.read.QueryRowContext(ctx, `SELECT slot, state FROM rule WHERE rule_id = ?`, r.ID).Scan(&slot, &data); err != nil {
			t.Fatal(err)
		}
		if got, err := decodeState(slot, data); err != nil || fmt.Sprint(got) != fmt.Sprint(state) {
			t.Errorf("%s: the state is\n%v, and all evaluations together make\n%v, %v", r.ID, got, state, err)
		}
	}
	evaluations := len(rules) * crashSlots
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM evaluation`:                       evaluations,
		`SELECT COUNT(*) FROM once_idem WHERE idem_key <> x''`:  evaluations,
		`SELECT COUNT(*) FROM transition`:                       transitions,
		`SELECT COUNT(*) FROM message`:                          messages,
		`SELECT COUNT(*) FROM once_outbox`:                      messages,
		`SELECT COUNT(DISTINCT msg_id) FROM once_outbox`:        messages,
		`SELECT n FROM tally WHERE name = 'evaluations'`:        evaluations,
		`SELECT n FROM tally WHERE name = 'transitions'`:        transitions,
		`SELECT n FROM tally WHERE name = 'messages'`:           messages,
		`SELECT COUNT(*) FROM once_idem WHERE phase NOT IN (3)`: 0,
		`SELECT COUNT(*) FROM rule`:                             len(rules),
	} {
		if n := count(t, d, query); n != want {
			t.Errorf("%s is %d, want %d", query, n, want)
		}
	}
	t.Logf("%d evaluations, %d transitions, %d messages, %d outcomes told", evaluations, transitions, messages, len(claims))
	if transitions < evaluations/4 || len(claims) < evaluations/2 {
		t.Error("too little has happened")
	}
}

func recorded(t *testing.T, d *DB, rule string, slot time.Time) (domain.Input, string, int) {
	t.Helper()
	var data []byte
	var replica string
	var missed int
	err := d.read.QueryRowContext(t.Context(), `SELECT input, replica, missed FROM evaluation WHERE rule_id = ? AND slot = ?`, rule, encodeTime(slot)).
		Scan(&data, &replica, &missed)
	if err != nil {
		t.Fatalf("%s at %v: %v", rule, slot, err)
	}
	in, err := decodeInput(data)
	if err != nil {
		t.Fatal(err)
	}
	return in, replica, missed
}

func transitionsAt(t *testing.T, d *DB, rule string, slot time.Time) []app.Transition {
	t.Helper()
	rows, err := d.read.QueryContext(t.Context(), `SELECT fingerprint, from_phase, to_phase FROM transition WHERE rule_id = ? AND slot = ? ORDER BY fingerprint`,
		rule, encodeTime(slot))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []app.Transition
	for rows.Next() {
		var f []byte
		var from, to string
		if err := rows.Scan(&f, &from, &to); err != nil {
			t.Fatal(err)
		}
		x := app.Transition{Fingerprint: domain.Fingerprint(f)}
		if x.From, err = domain.ParsePhase(from); err != nil {
			t.Fatal(err)
		}
		if x.To, err = domain.ParsePhase(to); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func identities(made []domain.Transition) []app.Transition {
	var out []app.Transition
	for _, x := range made {
		out = append(out, app.Transition{Fingerprint: x.Fingerprint, From: x.From, To: x.To})
	}
	return out
}
