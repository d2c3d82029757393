package idemtest

import (
	"testing"
	"testing/synctest"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

// caught runs cases against a broken store and returns those that failed.
func caught(t *testing.T, cases []kitCase, d model.Defect) []string {
	t.Helper()
	const maxResult = 1 << 17
	o := newOptions([]Option{Virtual(), MaxResult(maxResult)})
	var by []string
	for _, k := range cases {
		synctest.Test(t, func(t *testing.T) {
			s := model.New(d)
			s.MaxResult = maxResult
			failures, _ := execute(t.Context(), k, s, o).result()
			if len(failures) > 0 {
				by = append(by, k.number())
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

func TestEveryMutantFails(t *testing.T) {
	for _, d := range model.Defects() {
		t.Run(string(d), func(t *testing.T) {
			by := caught(t, storeCases(), d)
			if len(by) == 0 {
				t.Error("the kit passes it")
			}
			// Random histories catch much, but say little: a named case must catch it too.
			if len(by) == 1 && by[0] == "S63" {
				t.Error("only random histories catch it")
			}
			t.Log("caught by", by)
		})
	}
}

func TestEveryTxMutantFails(t *testing.T) {
	for _, d := range model.TxDefects() {
		t.Run(string(d), func(t *testing.T) {
			by := caught(t, txCases[*model.Tx](), d)
			if len(by) == 0 {
				t.Error("the kit passes it")
			}
			t.Log("caught by", by)
		})
	}
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
