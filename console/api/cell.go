package api

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// Cell is one of the cells of a cluster. The zero value is a daemon alone, and so is the only cell of a cluster.
type Cell struct {
	Number int // from 0
	Of     int // how many there are
}

// isAlone reports whether there is no other cell.
func (c Cell) isAlone() bool { return c.Of <= 1 }

// isFirst reports whether everything that belongs to no account is here.
func (c Cell) isFirst() bool { return c.isAlone() || c.Number == 0 }

// Prefix begins what is unique in a cell and is to be unique in a cluster: "3-", and nothing if there is one cell.
func (c Cell) Prefix() string {
	if c.isAlone() {
		return ""
	}
	return strconv.Itoa(c.Number) + "-"
}

// serial is the serial of a licence: a number, and in a cluster with several cells "3-12077".
type serial struct {
	cell Cell
	n    uint64
}

func (s serial) append(dst []byte) []byte {
	return strconv.AppendUint(append(dst, s.cell.Prefix()...), s.n, 10)
}

// MarshalJSON writes the serial.
func (s serial) MarshalJSON() ([]byte, error) {
	if s.cell.isAlone() {
		return s.append(nil), nil
	}
	return append(s.append([]byte{'"'}), '"'), nil
}

// needsReservation asks a node of the cluster to reserve a name and to send the request again.
type needsReservation struct{ what string }

func (e *needsReservation) Error() string { return "it must be reserved first: " + e.what }

// give makes a change that gives a name to something new. In a cluster with several cells it does so under the
// reservation that a node sends along; take likewise for what is deleted.
func (c *call) give(kind license.NameKind, name string, change shard.ChangeFunc) error {
	return c.named("create", kind, name, change)
}

func (c *call) take(kind license.NameKind, name string, change shard.ChangeFunc) error {
	return c.named("delete", kind, name, change)
}

func (c *call) named(verb string, kind license.NameKind, name string, change shard.ChangeFunc) error {
	if c.o.Cell.isAlone() {
		return c.administer(change)
	}
	number, err := c.reservation()
	if err != nil {
		return err
	}
	err = c.administer(func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		by.Reservation, by.MustReserve = number, !c.o.Cell.isFirst()
		return change(cat, by)
	})
	if errors.Is(err, license.ErrReserve) {
		return &needsReservation{fmt.Sprintf("%s %s %s", verb, kind, name)}
	}
	return err
}

// reservation returns the number of the reservation that a request comes with, 0 without.
func (c *call) reservation() (uint64, error) {
	header := &c.ctx.Request.Header
	if !c.o.Hop.Holds(header.Peek(access.HeaderHop)) {
		return 0, &event.Problem{
			Code:   event.Forbidden,
			Detail: "this is the address of one cell; names are given by the nodes of the cluster: ask one",
		}
	}
	text := header.Peek(access.HeaderReservation)
	if len(text) == 0 {
		return 0, nil
	}
	number, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || number == 0 {
		return 0, invalid(access.HeaderReservation, "must be the number of a reservation")
	}
	return number, nil
}

// isCellZeros reports whether what is bound to this account, "" for none, is changed in cell 0 alone, and this is
// another one: it has but a copy.
func (c *call) isCellZeros(account string) bool { return account == "" && !c.o.Cell.isFirst() }

func errOfCellZero(kind, name string) error {
	return &event.Problem{
		Code:   event.Overloaded,
		Detail: fmt.Sprintf("%s %s is bound to no account, and was not a moment ago; send it again", kind, name),
	}
}
