package retry

// sqlState judges a SQLSTATE by the tables of ISO 9075 and of PostgreSQL's appendix A. A
// server that sends one has not executed the statement, unless the code says otherwise; the
// operation to repeat is the whole transaction.
func sqlState(code string) Verdict {
	switch code {
	case "40000", "40001", "40P01", // rolled back: conflict or deadlock
		"55P03",          // lock not available
		"25006",          // read-only: the server is a standby, or about to be
		"08001", "08004", // no connection came about
		"57P03": // the server is starting or stopping
		return Verdict{Class: NoEffect}
	case "53300": // too many connections
		return Verdict{Class: NoEffect, Overload: true}
	case "40003", "08006", "08007", // the server or the network lost track
		"57P01", "57P02", "57014": // ended from outside, perhaps while committing
		return Verdict{Class: Ambiguous}
	case "40002": // a constraint, found at commit
		return Verdict{Class: Permanent}
	}
	if len(code) != len("40001") {
		return Verdict{}
	}
	switch code[:2] {
	case "53": // insufficient resources
		return Verdict{Class: Ambiguous, Overload: true}
	case "0A", // not supported
		"21", "22", "23", // cardinality, data, integrity constraint
		"28", "3D", "3F", // authorization, catalogue, schema
		"42", "44", // syntax or access rule, check option
		"P0": // raised by a procedure
		return Verdict{Class: Permanent}
	}
	return Verdict{}
}
