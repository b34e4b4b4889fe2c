package cells

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/commands"
)

// A listener's place is one in each cell: CELL:PLACE,CELL:PLACE,… by rising cells, all of them. An empty PLACE is that
// of a listener that came when nobody could say where the cell's commands were; beside an id that was heard it means:
// hear everything.

// everything is no place that a cell ever named: a listener that goes on from there hears all that is kept.
const everything = "-"

// watches are how far the cells' commands are, as this node knows it, from one long poll a cell.
type watches struct {
	mu    sync.Mutex
	cells []watched
	more  chan struct{} // closed when any of them changes
}

type watched struct {
	place  string // "" until the cell was heard
	failed bool   // the cell could not be asked of late
	again  func() // has the cell asked again soon
}

func (w *watches) init(cells int) { w.cells, w.more = make([]watched, cells), make(chan struct{}) }

// now returns how far all cells are, and a channel that is closed when one of them changes.
func (w *watches) now() (cells []watched, more <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.cells), w.more
}

// begin returns how to ask a cell, and what ends with its asking being of no use.
func (w *watches) begin(ctx context.Context, cell int) (ask commandsAsked, until context.Context) {
	until, cancel := context.WithTimeout(ctx, askTimeout)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.cells[cell]
	c.again = cancel
	return commandsAsked{after: c.place, waits: !c.failed}, until
}

// set notes how far a cell is. Listeners look again if that is news, or if they could not ask the cell before.
func (w *watches) set(cell int, place string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.cells[cell]
	c.again()
	if c.place == place && !c.failed {
		return
	}
	c.place, c.failed = place, false
	close(w.more)
	w.more = make(chan struct{})
}

// fail notes that a cell did not answer: when it does, listeners look again.
func (w *watches) fail(cell int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cells[cell].failed = true
	w.cells[cell].again()
}

// watch follows how far the commands of a cell are, until the engine is closed.
func (e *Engine) watch(cell int) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-e.ctx.Done():
			return
		}
		ask, ctx := e.watches.begin(e.ctx, cell)
		_, place, err := e.hear(ctx, cell, ask, nil)
		if err != nil {
			e.watches.fail(cell)
			pause.Reset(watchRetry)
			continue
		}
		e.watches.set(cell, place)
		pause.Reset(0)
	}
}

// hear asks a cell for commands.
func (e *Engine) hear(
	ctx context.Context, cell int, ask commandsAsked, producer []byte,
) (list []heard, next string, err error) {
	var w writer
	w.who(&who{producer: producer})
	w.commandsAsked(&ask)
	answer, err := e.o.Owners.Ask(ctx, cell, callCommands, w.b)
	if err != nil {
		return nil, "", err
	}
	r, problem, err := refusal(answer)
	switch {
	case err != nil:
		return nil, "", err
	case problem != nil:
		return nil, "", problem
	}
	list, next = r.commands()
	return list, next, r.end()
}

// CommandsFrom returns the place to go on from behind the event with an id, "" for what is kept and whatever comes.
func (e *Engine) CommandsFrom(id string) commands.Place {
	places := make([]string, e.o.Cells)
	if id == "" {
		now, _ := e.watches.now()
		for cell := range now {
			places[cell] = fromKept(now[cell].place)
		}
		return placeOf(places)
	}
	parsePlaces(id, places)
	for cell, place := range places {
		if place == "" {
			places[cell] = everything
		}
	}
	return placeOf(places)
}

// fromKept returns the place of a listener that hears the disconnects that are kept, and whatever comes behind place:
// TAG.REFRESH.0.
func fromKept(place string) string {
	dot := strings.LastIndexByte(place, '.')
	if dot < 0 {
		return ""
	}
	return place[:dot] + ".0"
}

// parsePlaces puts the places that an id names where they belong. One without a cell is of the time when the daemon was
// alone, which became cell 0.
func parsePlaces(id string, places []string) {
	if !strings.Contains(id, ":") {
		places[0] = id
		return
	}
	for one := range strings.SplitSeq(id, ",") {
		text, place, _ := strings.Cut(one, ":")
		cell, err := strconv.Atoi(text)
		if err == nil && cell >= 0 && cell < len(places) && len(place) <= placeBytesMax {
			places[cell] = place
		}
	}
}

func placeOf(places []string) commands.Place {
	var b []byte
	for cell, place := range places {
		if cell > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(cell), 10)
		b = append(append(b, ':'), place...)
	}
	return commands.Place{Cells: string(b)}
}

// Commands returns what a listener has not been sent yet of all cells, where to go on, and a channel that is closed
// when there may be more. Cells that cannot be asked now are left where they are.
func (e *Engine) Commands(
	after commands.Place, who shard.Listener,
) (list []shard.Command, next commands.Place, more <-chan struct{}, err error) {
	if e.ctx.Err() != nil {
		return nil, after, nil, shard.ErrStopped
	}
	places := make([]string, e.o.Cells)
	parsePlaces(after.Cells, places)
	now, more := e.watches.now()
	ctx, cancel := context.WithTimeout(e.ctx, hearTimeout)
	defer cancel()
	pages := make([]page, e.o.Cells)
	var all sync.WaitGroup
	for cell := range places {
		c := &now[cell]
		if places[cell] == "" {
			places[cell] = fromKept(c.place)
		}
		if pages[cell].next = places[cell]; c.place == "" || c.failed || places[cell] == c.place {
			continue // It cannot be asked now, or there is nothing new.
		}
		all.Go(func() { e.turn(ctx, cell, &pages[cell], who.Producer) })
	}
	all.Wait()
	for cell := range pages {
		p := &pages[cell]
		for i := range p.list {
			c := &p.list[i].Command
			places[cell] = p.list[i].place
			c.Place = placeOf(places)
			list = append(list, *c)
		}
		if p.next != places[cell] && p.next != now[cell].place {
			more = ready() // The page ended before its end.
		}
		places[cell] = p.next
	}
	return list, placeOf(places), more, nil
}

// page is what a listener has not heard yet of a cell.
type page struct {
	list []heard
	next string // where to go on
}

// turn asks a cell for the page behind p.next.
func (e *Engine) turn(ctx context.Context, cell int, p *page, producer []byte) {
	list, next, err := e.hear(ctx, cell, commandsAsked{after: p.next}, producer)
	if err != nil {
		e.watches.fail(cell)
		return
	}
	p.list, p.next = list, next
}

func ready() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
