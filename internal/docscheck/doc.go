// Package docscheck keeps the documentation true: it checks the README and the pages
// under docs against the sources. Its tests also hold the code of docs/guide.md, as
// Example functions that run.
//
// What it holds a page to:
//
//   - a block of Go is cut from a source file, or is marked as a sketch and parses;
//   - a relative link, and the anchor in it, leads somewhere;
//   - a test, example, benchmark or fuzz target that is named exists, in the file that the
//     name is linked to;
//   - a table whose last column is called proof or test names one in each row;
//   - a name such as idem.Config.Keep, in code type, exists in that package;
//   - a decision record has a number of its own, in its name and in its title;
//   - a make target that is named exists.
package docscheck
