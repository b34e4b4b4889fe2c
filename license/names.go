package license

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/persist"
)

// NameKind says what a name is given to. Names of one kind are unique in the cluster.
type NameKind byte

// The kinds of names, as keys of records have them.
const (
	NameAccount NameKind = 'a'
	NameProduct NameKind = 'p'
	NameToken   NameKind = 't'
	NameHook    NameKind = 'w'
)

var nameKinds = map[NameKind]string{
	NameAccount: accountNameText, NameProduct: "product", NameToken: "token", NameHook: "webhook",
}

// String returns the kind as people read it.
func (k NameKind) String() string { return nameKinds[k] }

// NameKindOf returns the kind that String names so.
func NameKindOf(text string) (k NameKind, known bool) {
	for k, name := range nameKinds {
		if name == text {
			return k, true
		}
	}
	return 0, false
}

// Given is a name of a cluster that is given to an object of a cell but cell 0, as the catalogue of cell 0 has it. It
// never changes once it stands in a catalogue.
type Given struct {
	Kind NameKind
	Name string
	Cell int
	// Number is that of the reservation that it was given or is changed under: the number of the change that reserved
	// it, so that none is given twice.
	Number uint64
	// Open says that the object is being created or deleted: only the cell knows whether it is there.
	Open    bool
	SinceMs int64 // when it was reserved
}

// names are those of a catalogue that concern other cells.
type names struct {
	given persist.Map[*Given]
	open  []*Given // of given, in the order of their numbers
	// refusedTo is the last reservation that this cell refuses for ever, with all before it.
	refusedTo uint64
	// mirrored is the change of cell 0's catalogue that tokens and webhooks without an account were last taken from.
	mirrored uint64
}

func givenKey(kind NameKind, name string) string { return string(rune(kind)) + name }

// Given returns what the cluster knows of a name, nil if it was given to nobody, or to an object of this cell.
func (c *Catalogue) Given(kind NameKind, name string) *Given {
	g, _ := c.names.given.Get([]byte(givenKey(kind, name)))
	return g
}

// NamesElsewhere returns how many names are given to objects of other cells.
func (c *Catalogue) NamesElsewhere() int { return c.names.given.Len() }

// OpenNames returns the names whose objects are being created or deleted, oldest first. The slice is the catalogue's.
func (c *Catalogue) OpenNames() []*Given { return c.names.open }

// Has reports whether this cell has an object of this name that is its own: a token or a webhook that is bound to no
// account is cell 0's.
func (c *Catalogue) Has(kind NameKind, name string) bool {
	switch kind {
	case NameAccount:
		return c.Account(name) != nil
	case NameProduct:
		return c.Product([]byte(name)) != nil
	case NameToken:
		t := c.Token(name)
		return t != nil && t.Account != ""
	case NameHook:
		h := c.Hook(name)
		return h != nil && h.Account != ""
	}
	return false
}

// IsTaken reports whether this cell has an object of this name, whosever it is.
func (c *Catalogue) IsTaken(kind NameKind, name string) bool {
	return c.Has(kind, name) || kind == NameToken && c.Token(name) != nil || kind == NameHook && c.Hook(name) != nil
}

func alreadyExists(kind NameKind, name string) error {
	p := &event.Problem{Code: event.AlreadyExists, Detail: kind.String() + " " + name + " exists"}
	switch kind {
	case NameProduct:
		p.Detail += "; names are unique in the daemon"
	case NameHook:
		p.Field = accountNameText
		p.Detail += "; names are unique in the daemon, and the account of a webhook never changes"
	}
	return p
}

// mayName reports why the actor may not make an object of this name, or take it away, because of what other cells have:
// it is asked last. A catalogue that is alone has no objection.
func (c *Catalogue) mayName(by Actor, kind NameKind, name string) error {
	if by.Reservation != 0 && by.Reservation <= c.names.refusedTo {
		return &event.Problem{
			Code: event.Overloaded, Detail: "it took so long that its name was given up; nothing was changed, send it again",
		}
	}
	switch g := c.Given(kind, name); {
	case by.MustReserve && by.Reservation == 0:
		return ErrReserve
	case g == nil || g.Number == by.Reservation:
		return nil
	case g.Open:
		return beingChanged(kind, name)
	}
	return alreadyExists(kind, name)
}

// ErrReserve means that a name would be given or taken away if it were reserved.
var ErrReserve = errors.New("the name must be reserved first")

func beingChanged(kind NameKind, name string) error {
	return &event.Problem{
		Code: event.Overloaded, Detail: fmt.Sprintf("%s %s is being created or deleted just now; send it again", kind, name),
	}
}

// ReserveName gives a name to an object that a cell is about to create. Nobody else gets it until SettleName has said
// what became of that.
func (c *Catalogue) ReserveName(by Actor, kind NameKind, name string, cell int) (*Catalogue, *Change, *Given, error) {
	switch g := c.Given(kind, name); {
	case !event.ValidName([]byte(name)):
		return nil, nil, nil, badName(kind.String())
	case c.IsTaken(kind, name) || g != nil && !g.Open:
		return nil, nil, nil, alreadyExists(kind, name)
	case g != nil:
		return nil, nil, nil, beingChanged(kind, name)
	case c.names.given.Len() >= namesMax:
		return nil, nil, nil, invalid(kind.String(), fmt.Sprintf("this cluster has %d names, the most it can", namesMax))
	}
	return c.reserve(by, Given{Kind: kind, Name: name, Cell: cell})
}

// ReopenName reserves a name that a cell's object has, since the object is about to be deleted. It returns nils if no
// cell but perhaps this one has the object.
func (c *Catalogue) ReopenName(by Actor, kind NameKind, name string) (*Catalogue, *Change, *Given, error) {
	switch g := c.Given(kind, name); {
	case g == nil:
		return nil, nil, nil, nil
	case g.Open:
		return nil, nil, nil, beingChanged(kind, name)
	default:
		return c.reserve(by, *g)
	}
}

func (c *Catalogue) reserve(by Actor, g Given) (*Catalogue, *Change, *Given, error) {
	if len(c.names.open) >= namesOpenMax {
		return nil, nil, nil, &event.Problem{
			Code: event.Overloaded, Detail: "too many names are being given at once; send it again",
		}
	}
	n := c.next()
	g.Number, g.Open, g.SinceMs = n.Seq, true, by.AtMs
	n.putGiven(&g)
	ch := &Change{Seq: n.Seq, AtMs: by.AtMs}
	ch.put(g.record())
	return n, ch, &g, nil
}

// SettleName ends a reservation: the cell has said whether the object is there. It returns nils if the reservation was
// ended before.
func (c *Catalogue) SettleName(
	by Actor, kind NameKind, name string, number uint64, isThere bool,
) (*Catalogue, *Change) {
	g := c.Given(kind, name)
	if g == nil || !g.Open || g.Number != number {
		return nil, nil
	}
	n := c.next()
	ch := &Change{Seq: n.Seq, AtMs: by.AtMs}
	settled := *g
	settled.Open = false
	if isThere {
		n.putGiven(&settled)
		ch.put(settled.record())
	} else {
		n.dropGiven(g)
		ch.put(put(givenRecordKey(kind, name), tombstone{Deleted: true}))
	}
	return n, ch
}

// RefuseNames has this cell refuse for ever whatever comes under the reservation upTo or an older one. It returns nils
// if it does so already.
func (c *Catalogue) RefuseNames(by Actor, upTo uint64) (*Catalogue, *Change) {
	if upTo <= c.names.refusedTo {
		return nil, nil
	}
	n := c.next()
	n.names.refusedTo = upTo
	ch := &Change{Seq: n.Seq, AtMs: by.AtMs}
	ch.put(n.refusedRecord())
	return n, ch
}

// putGiven adds or replaces g in a catalogue that is still being built.
func (c *Catalogue) putGiven(g *Given) {
	c.names.close(c.Given(g.Kind, g.Name))
	c.names.given.Set(c.Seq, givenKey(g.Kind, g.Name), g)
	if g.Open {
		at, _ := slices.BinarySearchFunc(c.names.open, g.Number, byNumber)
		c.names.open = slices.Insert(slices.Clone(c.names.open), at, g)
	}
}

// dropGiven takes g from a catalogue that is still being built.
func (c *Catalogue) dropGiven(g *Given) {
	c.names.close(g)
	c.names.given.Delete(c.Seq, givenKey(g.Kind, g.Name))
}

func byNumber(g *Given, number uint64) int { return cmp.Compare(g.Number, number) }

// close takes g, which may be nil, from those that are open.
func (n *names) close(g *Given) {
	if i := slices.Index(n.open, g); i >= 0 {
		n.open = slices.Delete(slices.Clone(n.open), i, i+1)
	}
}

// allGiven returns all names in the order of their keys; the slice is the caller's.
func (c *Catalogue) allGiven() []*Given {
	list := make([]*Given, 0, c.names.given.Len())
	for _, g := range c.names.given.All() {
		list = append(list, g)
	}
	slices.SortFunc(
		list,
		func(a, b *Given) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name)) },
	)
	return list
}
