// Package testservices gives tests real servers: a private, unprivileged child
// process on a loopback port, started from the binary that the machine has and
// ended with the test.
//
// A test asks for a server by name:
//
//	am := testservices.Alertmanager(t, "")
//	resp, err := http.Get(am.URL() + "/api/v2/alerts")
//
// Three things can happen.
//
//   - The service's variable (ONCE_ALERTMANAGER_URL and so on) names a running
//     server: that one is used, and never stopped or killed. If it does not
//     answer, the test fails.
//   - The binary is found on PATH or in Debian's folders: a private instance is
//     started in a folder of its own. On Linux it runs as the first process of
//     its own PID namespace, so that one SIGKILL ends it and all its children,
//     and the kernel ends it when the test process dies. Started by root, it
//     runs as nobody.
//   - Neither: the test is skipped with the command that would enable it. If
//     ONCE_REQUIRE names the service, or is "all", the test fails instead.
//
// ONCE_REQUIRE is a comma-separated list. If ONCE_SERVICES_REPORT names a file,
// every request appends a line to it: service, outcome (started, shared or
// skipped), detail, enabling command, separated by tabs. make test prints it.
//
// The package uses only the standard library and is for tests alone: no
// run-time package may import it.
package testservices
