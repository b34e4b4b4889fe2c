package event

// Scope says what a suspension holds for; the widest that holds is answered (R20).
type Scope uint8

// The scopes of a suspension.
const (
	ScopeNone    Scope = 0
	ScopeDevice  Scope = 1
	ScopeProduct Scope = 2
	ScopeAccount Scope = 3
)

var scopeNames = [...]string{"", "device", "product", "account"}

// String returns the wire name.
func (s Scope) String() string { return scopeNames[s] }

// Verdict is the answer to one event. Only the fields that its Code calls for are set; for a single event that was
// decided by a quota Limit, Used and the window are set on acceptance too, because its answer carries them as headers.
type Verdict struct {
	Code           Code
	Scope          Scope  // with Suspended
	Fault          Fault  // with InvalidEvent and PayloadTooLarge
	Limit          uint64 // units of the window
	Used           uint64 // units used of it, after this event
	Requested      uint64 // units that the event needed
	TopupAvailable uint64 // units left in the packs for the device (R16)
	WindowStartMs  int64  // the running day or month, Unix milliseconds; 0 when no quota decided
	ResetsAtMs     int64  // its end
}

// Denial is the Verdict of the event at Index of its batch.
type Denial struct {
	Index   int
	Verdict Verdict
}

// Result is the answer to a batch. Denials are in the order of their indexes, and so are WouldDeny.
type Result struct {
	Accepted int
	Denials  []Denial
	// WouldDeny are accepted events that the quota of their product would have denied, did it not only observe.
	WouldDeny []Denial
	// Last is the verdict of the batch's last event; answers to single events are made from it.
	Last Verdict
}

// Reset empties r and keeps its memory.
func (r *Result) Reset() {
	r.Accepted = 0
	r.Denials, r.WouldDeny = r.Denials[:0], r.WouldDeny[:0]
	r.Last = Verdict{}
}
