// Package integration runs the conformance kits and the fault tests on real databases. It
// is a module of its own, so that the drivers it needs are nobody else's.
package integration
