package chaos

import (
	"strings"
	"testing"

	"example.com/once/monitoring/domain"
)

func fires(release string) effect    { return effect{release, domain.Firing} }
func resolves(release string) effect { return effect{release, domain.Resolved} }

func TestVerdict(t *testing.T) {
	releases := []string{"r1", "r2"}
	perfect := []effect{fires("r1"), fires("r2"), resolves("r2"), resolves("r1")}
	for name, c := range map[string]struct {
		effects    []effect
		suppressed int
		waiting    int
		want       Verdict
		pass       bool
	}{
		"perfect":                {effects: perfect, suppressed: 1, want: Verdict{Alerts: 2, Effects: 4}, pass: true},
		"nothing suppressed":     {effects: perfect, want: Verdict{Alerts: 2, Effects: 4}},
		"nothing at all":         {suppressed: 1, want: Verdict{Lost: 4}},
		"firing lost":            {effects: []effect{fires("r1"), resolves("r1"), resolves("r2")}, suppressed: 1, want: Verdict{Alerts: 1, Effects: 3, Lost: 1, Disordered: 1}},
		"resolving lost":         {effects: perfect[:3], suppressed: 1, want: Verdict{Alerts: 2, Effects: 3, Lost: 1}},
		"firing doubled":         {effects: append([]effect{fires("r1")}, perfect...), suppressed: 1, want: Verdict{Alerts: 2, Effects: 5, Doubled: 1}},
		"resolving thrice":       {effects: append(perfect[:4:4], resolves("r1"), resolves("r1")), suppressed: 1, want: Verdict{Alerts: 2, Effects: 6, Doubled: 2}},
		"of an unknown release":  {effects: append(perfect[:4:4], fires("r9")), suppressed: 1, want: Verdict{Alerts: 2, Effects: 5, Unexpected: 1}},
		"of another transition":  {effects: append(perfect[:4:4], effect{"r1", domain.Pending}), suppressed: 1, want: Verdict{Alerts: 2, Effects: 5, Unexpected: 1}},
		"all-clear before alarm": {effects: []effect{resolves("r1"), fires("r1"), fires("r2"), resolves("r2")}, suppressed: 1, want: Verdict{Alerts: 2, Effects: 4, Disordered: 1}},
		"undelivered":            {effects: perfect, suppressed: 1, waiting: 1, want: Verdict{Alerts: 2, Effects: 4, Waiting: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(releases, c.effects)
			v.Suppressed, v.Waiting = c.suppressed, c.waiting
			c.want.Expected, c.want.Suppressed = 4, c.suppressed
			if v != c.want {
				t.Errorf("got  %+v\nwant %+v", v, c.want)
			}
			if v.Pass() != c.pass {
				t.Errorf("Pass is %t", v.Pass())
			}
			var b strings.Builder
			if err := v.Print(&b); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "\nPASS") != c.pass || strings.Contains(b.String(), "\nFAIL") == c.pass {
				t.Errorf("printed:\n%s", b.String())
			}
		})
	}
}
