package yamldoc

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 4 << 20

const maxProblems = 20

// Error is one thing that is wrong with a file.
type Error struct {
	File         string
	Line, Column int // 1-based; 0 = the file as a whole
	Reason       string
	Err          error // what Reason was made from, if it was made from an error
}

// Error returns file:line:column: reason.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ": " + e.Reason
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Doc is a file being read. It is not safe for concurrent use.
type Doc struct {
	Name     string     // what errors call the file
	Root     *yaml.Node // nil if the file holds nothing
	Lines    []string
	problems []*Error
}

// Read reads a file of at most [MaxSize] bytes. Its error is an [*Error].
func Read(path string) (*Doc, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{File: path, Reason: "cannot be read: " + cause(err), Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, &Error{File: path, Reason: "cannot be read: " + cause(err), Err: err}
	}
	if len(data) > MaxSize {
		return nil, &Error{File: path, Reason: fmt.Sprintf("is larger than %d bytes", MaxSize)}
	}
	return Parse(path, data)
}

// cause leaves out the path, which the error names already.
func cause(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Parse reads a text with one YAML document. Its error is an [*Error].
func Parse(name string, data []byte) (*Doc, error) {
	d := &Doc{Name: name, Lines: strings.Split(string(data), "\n")}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return d, nil
	case err != nil:
		return nil, d.syntax(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, d.syntax(err)
		}
		return nil, d.Atf(&more, "a second document; put everything in one")
	}
	if root := doc.Content[0]; root.Tag != "!!null" {
		d.Root = root
	}
	return d, nil
}

// syntax turns "yaml: line 3: did not find..." into an Error.
func (d *Doc) syntax(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	e := &Error{File: d.Name, Reason: "not valid YAML: " + text, Err: err}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, reason, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				e.Line, e.Column, e.Reason = line, 1, "not valid YAML: "+reason
			}
		}
	}
	return e
}

// Atf makes an error at a node; a nil node stands for the file as a whole.
func (d *Doc) Atf(n *yaml.Node, format string, args ...any) *Error {
	e := &Error{File: d.Name, Reason: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	return e
}

// Reportf notes a problem at a node.
func (d *Doc) Reportf(n *yaml.Node, format string, args ...any) { d.Add(d.Atf(n, format, args...)) }

// Add notes a problem. Those beyond the twentieth are left out.
func (d *Doc) Add(err *Error) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, err)
	}
}

// Problems returns how many were noted.
func (d *Doc) Problems() int { return len(d.problems) }

// Err returns the problems noted so far, each an [*Error], joined in the order of the
// file; nil if there are none.
func (d *Doc) Err() error {
	sorted := slices.SortedStableFunc(slices.Values(d.problems), func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(sorted))
	for i, e := range sorted {
		errs[i] = e
	}
	return errors.Join(errs...)
}
