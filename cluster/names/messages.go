package names

import "github.com/meterd/meterd/license"

// Methods of owners. All but reserve and reopen may run twice.
const (
	methodReserve  = "reserve"  // cell 0: reservation ─► given
	methodReopen   = "reopen"   // cell 0: name ─► given; number 0: no other cell has it
	methodSettle   = "settle"   // cell 0: settlement ─► {}
	methodFind     = "find"     // cell 0: name ─► place
	methodChanges  = "changes"  // cell 0: {} ─► how many changes there are
	methodRefuse   = "refuse"   // every cell: refusal ─► is the object there?
	methodLoad     = "load"     // every cell: {} ─► how full it is, a hint
	methodMirrored = "mirrored" // cells but 0: how many changes ─► are they taken over?
)

type nameMessage struct {
	Kind license.NameKind `json:"kind"`
	Name string           `json:"name"`
}

type reservation struct {
	nameMessage
	Cell int `json:"cell"`
}

type given struct {
	Cell   int    `json:"cell"`
	Number uint64 `json:"number"`
}

type settlement struct {
	nameMessage
	Number  uint64 `json:"number"`
	IsThere bool   `json:"is_there"`
}

// refusal asks whether an object is there, after UpTo and older reservations were refused for ever; 0: none is.
type refusal struct {
	nameMessage
	UpTo uint64 `json:"up_to,omitempty"`
}

// load is how full a cell is.
type load struct {
	Devices  int64 `json:"devices"`
	Accounts int   `json:"accounts"`
}

// place says who has a name, or may have it soon.
type place struct {
	IsGiven bool `json:"is_given"`
	Cell    int  `json:"cell"` // if it is given
}
