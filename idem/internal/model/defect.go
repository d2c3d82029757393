package model

// Defect is one way of being wrong, in words. A kit that a defective store passes proves
// nothing.
type Defect string

// The defects.
const (
	None Defect = ""

	ReadsThenWrites       Defect = "claims in two steps, so that several callers win"
	LeaseIgnored          Defect = "grants a key that is in flight"
	NeverTakesOver        Defect = "keeps a dead holder's key for ever"
	ForgetsToken          Defect = "does not know a claim again that it has granted"
	RepeatCounts          Defect = "counts a repeated claim as another attempt"
	FenceStands           Defect = "hands a key over with the fence of its last holder"
	FenceRestarts         Defect = "starts again at 1 after retention"
	IgnoresFingerprint    Defect = "replays one request's result to another"
	RebindsAfterRelease   Defect = "forgets at release which request the key is bound to"
	MismatchReveals       Defect = "hands the stored result to another request"
	TakesOverAlways       Defect = "ignores NoTakeover"
	HoldIsRelease         Defect = "runs a held key again"
	DropsProgress         Defect = "does not hand progress over"
	KeepCutsLease         Defect = "forgets a record before its lease is over"
	ChecksFenceOnly       Defect = "lets writes of another token through"
	ChecksTokenOnly       Defect = "lets writes of an earlier holding by the same token through"
	ChecksKeyOnly         Defect = "lets every write through"
	RenewsForAnyone       Defect = "renews for a stale holder"
	RenewRevives          Defect = "renews what is released or done"
	RenewDoesNothing      Defect = "says yes to a renewal, and lets the lease end"
	RefusesLateRenewal    Defect = "judges a renewal by the deadline although nobody took over"
	RenewClearsProgress   Defect = "takes a renewal without progress for one with none"
	ProgressUnordered     Defect = "lets an older save overwrite a newer one"
	CompleteUnfenced      Defect = "records whoever completes"
	CompleteOverwrites    Defect = "lets the owner change a recorded result"
	CompleteResurrects    Defect = "records for a key that is forgotten"
	RepeatedCompleteFails Defect = "takes the repeat after a lost acknowledgement for a lost lease"
	RefusesLateComplete   Defect = "throws a finished result away because the lease is over"
	NilIsEmpty            Defect = "replays a tombstone as an empty result"
	KeepIgnored           Defect = "keeps a result only as long as the lease"
	ReleasesForAnyone     Defect = "lets a stale holder release"
	ReleaseUndoesDone     Defect = "releases a key that is done"
	SweepsLeases          Defect = "sweeps records whose lease is over although they are kept"
	ResolveKeepsToken     Defect = "lets the last holder act on a resolved key"
	FoldsCase             Defect = "takes a key in another case for the same"
	TrimsKeys             Defect = "takes a key with blanks at its end for the same"
	CutsKeys              Defect = "looks at the first 191 bytes of a key only"
	CutsAtNUL             Defect = "looks at a key up to its first NUL only"
	EndsLeasesEarly       Defect = "ends a lease after half its time, as with a clock of its own"
	EndsLeasesLate        Defect = "ends a lease after twice its time"
	CutsResults           Defect = "stores the first 64 KiB of a result as the whole"
	DropsLarge            Defect = "releases a key whose result is too large"
	TakesLarge            Defect = "answers a result that is too large as if it were stored"
	SharesResults         Defect = "keeps the caller's bytes"
	IgnoresContext        Defect = "claims although the context has ended"
	DeleteKeepsHolder     Defect = "lets the holder of a deleted key complete it"
	ListSkips             Defect = "leaves out the first key after a page"
	ListShowsEnded        Defect = "lists what is past its retention"
	SweepUnbounded        Defect = "sweeps more than it was asked to"
	ResolveInFlight       Defect = "resolves a key whose holder is alive"
	CommitsFailures       Defect = "commits although the function failed"
	WithLeavesTx          Defect = "writes outside the transaction"
	SavepointKeeps        Defect = "undoes nothing"
)

// Defects returns those that a store can have without transactions.
func Defects() []Defect {
	return []Defect{
		ReadsThenWrites,
		LeaseIgnored,
		NeverTakesOver,
		ForgetsToken,
		RepeatCounts,
		FenceStands,
		FenceRestarts,
		IgnoresFingerprint,
		RebindsAfterRelease,
		MismatchReveals,
		TakesOverAlways,
		HoldIsRelease,
		DropsProgress,
		KeepCutsLease,
		ChecksFenceOnly,
		ChecksTokenOnly,
		ChecksKeyOnly,
		RenewsForAnyone,
		RenewRevives,
		RenewDoesNothing,
		RefusesLateRenewal,
		RenewClearsProgress,
		ProgressUnordered,
		CompleteUnfenced,
		CompleteOverwrites,
		CompleteResurrects,
		RepeatedCompleteFails,
		RefusesLateComplete,
		NilIsEmpty,
		KeepIgnored,
		ReleasesForAnyone,
		ReleaseUndoesDone,
		SweepsLeases,
		ResolveKeepsToken,
		FoldsCase,
		TrimsKeys,
		CutsKeys,
		CutsAtNUL,
		EndsLeasesEarly,
		EndsLeasesLate,
		CutsResults,
		DropsLarge,
		TakesLarge,
		SharesResults,
		IgnoresContext,
		DeleteKeepsHolder,
		ListSkips,
		ListShowsEnded,
		SweepUnbounded,
		ResolveInFlight,
	}
}

// TxDefects returns those that only transactions have.
func TxDefects() []Defect {
	return []Defect{CommitsFailures, WithLeavesTx, SavepointKeeps}
}
