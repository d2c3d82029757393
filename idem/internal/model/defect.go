package model

// Defect is one way of being wrong, in words. A kit that a defective store passes proves
// nothing.
type Defect string

// None is right.
const None Defect = ""

// Defects of claims.
const (
	AttemptsFromZero    Defect = "counts attempts from 0"
	ReadsThenWrites     Defect = "claims in two steps, so that several callers win"
	LeaseIgnored        Defect = "grants a key that is in flight"
	NeverTakesOver      Defect = "keeps a dead holder's key for ever"
	ForgetsToken        Defect = "does not know a claim again that it has granted"
	RepeatCounts        Defect = "counts a repeated claim as another attempt"
	RepeatKeepsLease    Defect = "does not restart the lease of a repeated claim"
	FenceStands         Defect = "hands a key over with the fence of its last holder"
	FenceRestarts       Defect = "starts again at 1 after retention"
	NeverForgets        Defect = "keeps what is past its retention"
	BindsForEver        Defect = "keeps a key bound to its request past retention"
	IgnoresFingerprint  Defect = "replays one request's result to another"
	RebindsAfterRelease Defect = "forgets at release which request the key is bound to"
	RebindsAtTakeover   Defect = "forgets at a takeover which request the key is bound to"
	BindsLosers         Defect = "binds a key to a request that it refuses"
	NilMismatches       Defect = "takes no fingerprint for another one"
	MismatchReveals     Defect = "hands the stored result to another request"
	TakesOverAlways     Defect = "ignores NoTakeover"
	HoldIsRelease       Defect = "runs a held key again"
	HoldYields          Defect = "lets its last holder claim a held key"
	DropsProgress       Defect = "does not hand progress over"
	KeepCutsLease       Defect = "forgets a record before its lease is over"
	Overflows           Defect = "adds up times until they are negative"
	FoldsCase           Defect = "takes a key in another case for the same"
	TrimsKeys           Defect = "takes a key with blanks at its end for the same"
	CutsKeys            Defect = "looks at the first 191 bytes of a key only"
	CutsAtNUL           Defect = "looks at a key up to its first NUL only"
	MatchesPrefixes     Defect = "takes a key that begins with another for that one"
	EndsLeasesEarly     Defect = "ends a lease after half its time, as with a clock of its own"
	EndsLeasesLate      Defect = "ends a lease after twice its time"
	CountsSeconds       Defect = "counts leases in whole seconds"
	IgnoresContext      Defect = "claims although the context has ended"
	ReplayWrites        Defect = "writes when it replays"
	DoneHidesToken      Defect = "does not say whose completion stands"
)

// Defects of renewals, completions and releases.
const (
	ChecksFenceOnly       Defect = "lets writes of another token through"
	ChecksTokenOnly       Defect = "lets writes of an earlier holding by the same token through"
	ChecksKeyOnly         Defect = "lets every write through"
	RenewsForAnyone       Defect = "renews for a stale holder"
	RenewRevives          Defect = "renews what is released or done"
	RenewDoesNothing      Defect = "says yes to a renewal, and lets the lease end"
	RenewAdds             Defect = "adds a renewal to what is left of the lease"
	RenewKeepsEnd         Defect = "forgets a record that is renewed past its retention"
	RefusesLateRenewal    Defect = "judges a renewal by the deadline although nobody took over"
	RenewClearsProgress   Defect = "takes a renewal without progress for one with none"
	ProgressUnordered     Defect = "lets an older save overwrite a newer one"
	SharesProgress        Defect = "keeps the caller's progress bytes"
	KeepsProgress         Defect = "keeps the progress of a key that is done"
	CompleteUnfenced      Defect = "records whoever completes"
	CompletesInTwoSteps   Defect = "checks the holder first and records later"
	CompleteOverwrites    Defect = "lets the owner change a recorded result"
	CompleteResurrects    Defect = "records for a key that is forgotten"
	RepeatedCompleteFails Defect = "takes the repeat after a lost acknowledgement for a lost lease"
	RefusesLateComplete   Defect = "throws a finished result away because the lease is over"
	HidesStanding         Defect = "refuses a completion without the record that stands"
	NilIsEmpty            Defect = "replays a tombstone as an empty result"
	KeepIgnored           Defect = "keeps a result only as long as the lease"
	CutsResults           Defect = "stores the first 64 KiB of a result as the whole"
	DropsLarge            Defect = "releases a key whose result is too large"
	TakesLarge            Defect = "answers a result that is too large as if it were stored"
	SharesResults         Defect = "keeps the caller's bytes"
	ReleasesForAnyone     Defect = "lets a stale holder release"
	ReleaseUndoesDone     Defect = "releases a key that is done"
	ReleaseKeepsLease     Defect = "keeps a released key taken until its lease ends"
	ReleaseChanges        Defect = "lets a second release change the first"
	RepeatedReleaseFails  Defect = "takes a repeated release for a lost lease"
	ForgetIsRelease       Defect = "keeps attempt and request of a forgotten key"
)

// Defects of sweeping and inspecting.
const (
	SweepsLeases      Defect = "sweeps records whose lease is over although they are kept"
	SweepUnbounded    Defect = "sweeps more than it was asked to"
	SweepsInTwoSteps  Defect = "looks for ended keys first and deletes them later"
	GetShowsEnded     Defect = "shows what is past its retention"
	GetHidesExpiry    Defect = "calls a key in flight whose lease is over"
	ListSkips         Defect = "leaves out the first key after a page"
	ListShowsEnded    Defect = "lists what is past its retention"
	DeleteKeepsHolder Defect = "lets the holder of a deleted key complete it"
	ResolveInFlight   Defect = "resolves a key whose holder is alive"
	ResolveKeepsToken Defect = "lets the last holder act on a resolved key" //nolint:gosec // not a credential
	ResolveOverwrites Defect = "lets a resolution change a recorded result"
)

// Defects of transactions.
const (
	CommitsNothing       Defect = "loses what was committed"
	CommitsFailures      Defect = "commits although the function failed"
	CommitsPanics        Defect = "commits although the function panicked"
	WithLeavesTx         Defect = "writes outside the transaction"
	TxBlind              Defect = "does not see what the transaction wrote"
	TxOverlap            Defect = "lets transactions overlap, and the last one win"
	SavepointKeeps       Defect = "undoes nothing"
	SavepointKeepsPanics Defect = "undoes nothing when the function panicked"
	SavepointFlat        Defect = "undoes to the latest savepoint, whichever fails"
)
