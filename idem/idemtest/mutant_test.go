package idemtest

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

// mutant is a broken store and the case that exists to catch it. Others may catch it too.
type mutant struct {
	defect model.Defect
	by     string
}

func mutants() []mutant {
	return []mutant{
		{model.AttemptsFromZero, "S1 new key"},
		{model.LeaseIgnored, "S2 key in flight"},
		{model.ForgetsToken, "S3 own token"},
		{model.RepeatCounts, "S3 own token"},
		{model.RepeatKeepsLease, "S3 own token"},
		{model.ReadsThenWrites, "S4 parallel claims"},
		{model.NeverTakesOver, "S5 parallel takeover"},
		{model.FenceStands, "S5 parallel takeover"},
		{model.EndsLeasesEarly, "S5 no early takeover"},
		{model.EndsLeasesLate, "S5 no early takeover"},
		{model.FenceRestarts, "S6 parallel claims past retention"},
		{model.NeverForgets, "S6 parallel claims past retention"},
		{model.BindsForEver, "S6 parallel claims past retention"},
		{model.NilIsEmpty, "S7 results"},
		{model.CutsResults, "S7 results"},
		{model.SharesResults, "S7 results"},
		{model.IgnoresFingerprint, "S8 done and another fingerprint"},
		{model.MismatchReveals, "S8 done and another fingerprint"},
		{model.RebindsAfterRelease, "S9 fingerprint stays bound"},
		{model.RebindsAtTakeover, "S9 fingerprint stays bound"},
		{model.BindsLosers, "S10 no fingerprint"},
		{model.NilMismatches, "S10 no fingerprint"},
		{model.TakesOverAlways, "S11 no takeover"},
		{model.HoldIsRelease, "S12 held"},
		{model.HoldYields, "S12 held"},
		{model.FoldsCase, "S13 any bytes in a key"},
		{model.TrimsKeys, "S13 any bytes in a key"},
		{model.CutsKeys, "S13 any bytes in a key"},
		{model.CutsAtNUL, "S13 any bytes in a key"},
		{model.MatchesPrefixes, "S14 prefixes"},
		{model.IgnoresContext, "S15 cancelled claim"},
		{model.RepeatedCompleteFails, "S16 everything repeated"},
		{model.ReplayWrites, "S17 replays write nothing"},
		{model.CountsSeconds, "S40 short lease"},
		{model.KeepCutsLease, "S41 lease longer than keep"},
		{model.Overflows, "S41 longest times"},
		{model.RenewDoesNothing, "S18 renew"},
		{model.RenewAdds, "S18 renew"},
		{model.RenewKeepsEnd, "S19 renewed for long"},
		{model.RenewRevives, "S20 renew without the lease"},
		{model.ChecksKeyOnly, "S20 renew without the lease"},
		{model.ChecksFenceOnly, "S20 renew without the lease"},
		{model.RefusesLateRenewal, "S21 late renewal"},
		{model.RenewsForAnyone, "S22 renew after takeover"},
		{model.DropsProgress, "S23 progress"},
		{model.SharesProgress, "S23 progress"},
		{model.KeepsProgress, "S23 progress"},
		{model.RenewClearsProgress, "S24 order of progress"},
		{model.ProgressUnordered, "S24 order of progress"},
		{model.KeepIgnored, "S25 complete"},
		{model.CompleteOverwrites, "S26 complete twice"},
		{model.CompleteUnfenced, "S27 complete without the lease"},
		{model.HidesStanding, "S27 complete without the lease"},
		{model.ChecksTokenOnly, "S28 stale holder"},
		{model.RefusesLateComplete, "S29 late completion"},
		{model.CompleteResurrects, "S30 complete what is gone"},
		{model.CompletesInTwoSteps, "S31 completion against takeover"},
		{model.TakesLarge, "S33 too large"},
		{model.DropsLarge, "S33 too large"},
		{model.ReleaseKeepsLease, "S34 release"},
		{model.ReleasesForAnyone, "S35 release without the lease"},
		{model.ReleaseUndoesDone, "S36 release what is done"},
		{model.ForgetIsRelease, "S37 forget and hold"},
		{model.ReleaseChanges, "S38 release twice"},
		{model.RepeatedReleaseFails, "S38 release twice"},
		{model.GetShowsEnded, "S42 ended is absent"},
		{model.ListShowsEnded, "S42 ended is absent"},
		{model.SweepsLeases, "S43 sweep"},
		{model.SweepUnbounded, "S43 sweep"},
		{model.SweepsInTwoSteps, "S44 sweep against claim"},
		{model.GetHidesExpiry, "S45 get"},
		{model.ListSkips, "S45 list"},
		{model.DeleteKeepsHolder, "S45 delete"},
		{model.ResolveInFlight, "S45 resolve"},
		{model.ResolveKeepsToken, "S45 resolve"},
		{model.ResolveOverwrites, "S45 resolve"},
	}
}

// txMutants are those that only transactions show, and some of the others as transactions
// show them.
func txMutants() []mutant {
	return []mutant{
		{model.CommitsNothing, "S48 commit"},
		{model.CommitsFailures, "S49 rollback"},
		{model.CommitsPanics, "S49 panic"},
		{model.DoneHidesToken, "S51 repeated after commit"},
		{model.TxOverlap, "S52 two transactions"},
		{model.ChecksKeyOnly, "S54 stale holder in a transaction"},
		{model.RepeatedCompleteFails, "S55 complete twice in a transaction"},
		{model.TxBlind, "T1 own writes"},
		{model.WithLeavesTx, "S49 rollback"},
		{model.SavepointKeeps, "T2 savepoint"},
		{model.SavepointFlat, "T3 nested savepoints"},
		{model.SavepointKeepsPanics, "T4 panic in a savepoint"},
	}
}

func modelWrites(ctx context.Context, s idem.Store) (int64, error) {
	return s.(*model.Store).Writes(ctx)
}

// caught runs cases against a broken store and returns the names of those that failed.
func caught(t *testing.T, cases []kitCase, d model.Defect) []string {
	t.Helper()
	const maxResult = 1 << 17
	o := newOptions([]Option{Virtual(), MaxResult(maxResult), Writes(modelWrites)})
	var by []string
	for _, k := range cases {
		synctest.Test(t, func(t *testing.T) {
			s := model.New(d)
			s.MaxResult = maxResult
			failures, _ := execute(t.Context(), k, s, o).result()
			if len(failures) > 0 {
				by = append(by, k.name)
			}
		})
	}
	return by
}

func TestTheModelPasses(t *testing.T) {
	if by := caught(t, append(storeCases(), txCases[*model.Tx]()...), model.None); len(by) > 0 {
		t.Errorf("it fails %v", by)
	}
}

// The kit is right if it fails every store that is wrong, by the case that says what is
// wrong with it, and if it has no case that nothing can fail.
func TestEveryMutantFails(t *testing.T) {
	prove(t, storeCases(), mutants(), "S63 random histories") // which is caught by whatever else is
}

func TestEveryTxMutantFails(t *testing.T) {
	prove(t, txCases[*model.Tx](), txMutants(), "")
}

func prove(t *testing.T, cases []kitCase, all []mutant, spare string) {
	t.Helper()
	works := map[string]bool{spare: true}
	for _, m := range all {
		by := caught(t, cases, m.defect)
		for _, name := range by {
			works[name] = true
		}
		if !slices.Contains(by, m.by) {
			t.Errorf("a store that %s: %q passes it", m.defect, m.by)
		}
		numbers := make([]string, 0, len(by))
		for _, name := range by {
			if name != m.by {
				numbers = append(numbers, kitCase{name: name}.number())
			}
		}
		t.Logf("%q caught a store that %s (also: %s)", m.by, m.defect, strings.Join(slices.Compact(numbers), " "))
	}
	for _, k := range cases {
		if !works[k.name] {
			t.Errorf("no mutant fails %q", k.name)
		}
	}
	t.Logf("%d mutants, %d cases", len(all), len(cases))
}

// A defect that nobody looks for would be a hole in the proof.
func TestEveryDefectIsAMutant(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/model/defect.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[model.Defect]bool{model.None: true}
	for _, m := range append(mutants(), txMutants()...) {
		known[m.defect] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if d, err := strconv.Unquote(lit.Value); err != nil || !known[model.Defect(d)] {
				t.Errorf("no mutant %s (%v)", d, err)
			}
		}
		return true
	})
}

func TestACaseThatPanicsOrHangsFails(t *testing.T) {
	for name, run := range map[string]func(*C){
		"panics": func(*C) { panic("boom") },
		"hangs":  func(c *C) { <-c.ctx.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kitCase{name: "S0", run: run}
				if failures, _ := execute(t.Context(), k, &idem.Memory{}, newOptions([]Option{Virtual()})).result(); len(failures) == 0 {
					t.Error("it passes")
				}
			})
		})
	}
}
