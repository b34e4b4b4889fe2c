package cells

import (
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// remember notes where the events of a batch go.
func (d *Door) remember(body []byte) ([]byte, error) {
	r := begin(body)
	from := r.who()
	n := shard.Note{Token: d.token(&from), Producer: from.producer, Claim: r.claim(), Body: r.bytes(shard.NoteBytesMax)}
	if r.end() != nil || len(from.producer) == 0 {
		return nil, errCall
	}
	err := d.o.Cell.Remember(&n)
	return d.answer(err, func(w *writer) {
		w.bool(n.Replayed)
		w.bytes(n.Body)
	})
}

// answer makes the answer to a call: a problem if err is one, else what fill appends.
func (d *Door) answer(err error, fill func(*writer)) ([]byte, error) {
	p := shard.ProblemOf(err)
	if err != nil && p == nil {
		return nil, err
	}
	var w writer
	w.refusal(p)
	if p == nil {
		fill(&w)
	}
	return w.b, nil
}

// names says which cells have products. What it says to be unknown is so when the answer leaves: whoever creates the
// product then will find that it was said.
func (d *Door) names(body []byte) ([]byte, error) {
	r := begin(body)
	tells := r.bool()
	list := r.names()
	if r.end() != nil {
		return nil, errCall
	}
	nowMs := d.o.Cell.NowMs()
	found := make([]named, len(list))
	before := d.o.Cell.Catalogue()
	for _, name := range list {
		if _, isOpen, known := d.o.find(before, name); tells && (!known || isOpen) {
			d.told.note(name, nowMs)
		}
	}
	now := d.o.Cell.Catalogue() // It may have changed before a name was put down.
	for i, name := range list {
		cell, _, known := d.o.find(now, name)
		if !known {
			cell = noCell
		}
		found[i] = named{cell: cell, mayBeTold: d.told.has(name, nowMs)}
	}
	err := d.o.Cell.Durable()
	return d.answer(err, func(w *writer) { w.named(found) })
}

// What is asked about a producer.
const (
	askShow = iota
	askOffline
	askForget
)

// producer answers what is asked about a producer.
func (d *Door) producer(body []byte) ([]byte, error) {
	r := begin(body)
	from, what := r.who(), r.byte()
	if r.end() != nil || what > askForget {
		return nil, errCall
	}
	name, token := string(from.producer), d.token(&from)
	switch what {
	case askOffline:
		devices, err := d.o.Cell.Offline(token, name)
		return d.answer(err, func(w *writer) { w.uint(uint64(devices)) })
	case askForget:
		found, err := d.o.Cell.ForgetProducer(token, name)
		return d.answer(err, func(w *writer) { w.bool(found) })
	}
	own, isKnown, err := d.o.Cell.Sequences(0, name)
	noted, isNoted, noting := d.o.Cell.Sequences(claims.NotesAccount, name)
	if err == nil {
		err = noting
	}
	return d.answer(err, func(w *writer) {
		w.bool(isKnown || isNoted)
		w.sequences(together(own, noted))
	})
}

func (w *writer) sequences(s claims.Sequences) {
	w.bool(s.Any)
	w.uint(s.Last)
	w.uint(s.Oldest)
	w.uint(s.Floor)
}

func (r *reader) sequences() claims.Sequences {
	return claims.Sequences{Any: r.bool(), Last: r.uint(), Oldest: r.uint(), Floor: r.uint()}
}

// together is what two cells remember of one producer. The Oldest is not below what either has forgotten.
func together(a, b claims.Sequences) claims.Sequences {
	s := claims.Sequences{Any: a.Any || b.Any, Last: max(a.Last, b.Last), Floor: max(a.Floor, b.Floor)}
	switch {
	case !a.Any:
		s.Oldest = b.Oldest
	case !b.Any:
		s.Oldest = a.Oldest
	default:
		s.Oldest = min(a.Oldest, b.Oldest)
	}
	s.Oldest = max(s.Oldest, s.Floor)
	return s
}

// commands hands out what a listener has not heard yet. If that is nothing, it waits for a while.
func (d *Door) commands(body []byte) ([]byte, error) {
	r := begin(body)
	from := r.who()
	ask := r.commandsAsked()
	if r.end() != nil {
		return nil, errCall
	}
	who := shard.Listener{Producer: from.producer, HasProducer: len(from.producer) > 0}
	place := d.o.Cell.CommandsFrom(ask.after)
	timer := time.NewTimer(watchWait)
	defer timer.Stop()
	for {
		list, next, more, err := d.o.Cell.Commands(place, who)
		text := string(next.AppendText(nil))
		if err != nil || len(list) > 0 || !ask.waits || text != ask.after {
			return d.answer(err, func(w *writer) { w.commands(list, text) })
		}
		place = next
		select {
		case <-more:
		case <-timer.C:
			ask.waits = false
		case <-d.closing:
			return nil, shard.ErrStopped
		}
	}
}

// commandsAsked is what a node asks for of a cell's commands.
type commandsAsked struct {
	after string // a place as text
	waits bool   // until there is something new
}

func (w *writer) commandsAsked(a *commandsAsked) {
	w.text(a.after)
	w.bool(a.waits)
}

func (r *reader) commandsAsked() commandsAsked {
	return commandsAsked{after: r.text(placeBytesMax), waits: r.bool()}
}

func (w *writer) commands(list []shard.Command, next string) {
	w.text(next)
	w.uint(uint64(len(list)))
	for i := range list {
		c := &list[i]
		w.bytes(c.Place.AppendText(nil))
		w.text(c.Product)
		w.text(c.Device)
		w.byte(byte(c.Reason))
	}
}

// heard is a command of a cell.
type heard struct {
	shard.Command
	place string // in its cell
}

func (r *reader) commands() (list []heard, next string) {
	next = r.text(placeBytesMax)
	for range r.count(commandsMax) {
		h := heard{place: r.text(placeBytesMax)}
		h.Product, h.Device = r.text(event.NameBytesMax), r.text(event.NameBytesMax)
		h.Reason = event.Code(r.byte())
		list = append(list, h)
	}
	return list, next
}
