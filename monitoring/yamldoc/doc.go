// Package yamldoc reads YAML files that people write, and says file, line, column
// and reason of everything that is wrong with them, all at once.
//
// A reader walks the tree with [Doc.Fields], [Doc.List], [Doc.Text] and their like; what
// does not fit is reported and passed over, and [Doc.Err] returns all of it in the end.
package yamldoc
