// Package httpmwtest checks a running service, whatever it is written in, against
// draft-ietf-httpapi-idempotency-key-header-07 and what users expect beyond it.
//
//	func TestOrders(t *testing.T) {
//		httpmwtest.Run(t, httpmwtest.Target{URL: "http://localhost:8080/orders"})
//	}
//
// It needs an operation that takes a key and succeeds with every body that [Target.Body] makes, and it
// uses it: each case orders, charges or creates something. Point it at a test installation.
//
// A case says how much the draft demands: Must, Should, or Beyond where the draft is silent and a service
// may decide otherwise. [Check] gives the results as values, [Write] prints them as a table. Everything is
// judged from outside, by answers; tell the kit by [Target.Effects] how often the operation took effect, and it
// judges that too.
//
// What cannot be seen from outside it does not check: crashes, leases, retention, what is stored.
package httpmwtest
