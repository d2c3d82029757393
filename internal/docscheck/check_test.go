package docscheck

import (
	"os"
	"testing"
)

func TestDocumentationIsTrue(t *testing.T) {
	if _, err := os.Stat("../../go.work"); err != nil {
		t.Skip("the root module is alone, without the modules that the pages speak of")
	}
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
