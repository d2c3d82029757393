package docscheck

import (
	"os"
	"testing"
)

func TestDocumentationIsTrue(t *testing.T) {
	tree, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.pages) == 0 || len(tree.sources) == 0 || len(tree.tests) == 0 {
		t.Fatalf("%d pages, %d sources, %d tests: this is not the checkout", len(tree.pages), len(tree.sources), len(tree.tests))
	}
	for _, problem := range tree.check() {
		t.Error(problem)
	}
}
