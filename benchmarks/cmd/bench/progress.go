package main

import (
	"fmt"
	"io"
	"os"

	"example.com/once/benchmarks/measure"
)

// progress tells a person what is being measured: on one line of a terminal, or in lines.
type progress struct {
	w        io.Writer
	terminal bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	return p
}

const clearLine = "\r\x1b[K"

func (p *progress) show(s measure.Progress) {
	line := fmt.Sprintf("bench: %d of %d done, now %s", s.Done, s.All, s.Next)
	if p.terminal {
		fmt.Fprint(p.w, clearLine+line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, clearLine)
	}
}
