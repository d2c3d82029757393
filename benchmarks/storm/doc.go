// Package storm plays what becomes of a server when its clients retry: the numbers of
// docs/storms.md. It is a test, since it runs the real loop, breaker and budget of package
// retry in simulated time:
//
//	go test -run Storm -v ./benchmarks/storm
package storm
