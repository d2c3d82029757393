package idem

import "fmt"

// String returns the state's name.
func (s State) String() string {
	switch s {
	case 0:
		return "absent"
	case Acquired:
		return "acquired"
	case InFlight:
		return "in flight"
	case Done:
		return "done"
	case Mismatch:
		return "mismatch"
	case Abandoned:
		return "abandoned"
	case Released:
		return "released"
	case Expired:
		return "expired"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}
