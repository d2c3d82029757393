// Package examples holds programs and recipes that show the toolkit at work beside other
// people's packages. Each folder is one; quickstart needs nothing but the standard library.
package examples
