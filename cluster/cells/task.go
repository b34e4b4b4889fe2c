package cells

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// Where an event goes if it goes to no cell.
const (
	noCell  = -1 // nobody has its product
	refused = -2 // the decoder refused it, and it names no product
)

// task is one batch on its way.
type task struct {
	r       *shard.Request
	isCheck bool
	answer  *answer   // of Decide
	until   time.Time // when all owners that are asked for it must have answered

	at       []int16  // where each event goes
	unknown  []string // products that no copy here has
	young    []string // products that may have been unknown when the batch was sent first
	note     []byte   // where the events went the first time; nil: nobody asked the home
	isNoted  bool     // the home had the note already
	parts    []share
	hasOther bool // an event goes to no part
}

// share is what one cell has of a task.
type share struct {
	task    *task
	cell    int
	indexes []int32 // of its events in the batch; nil: all of them
	part
	outcome outcome
	err     error
	done    func() // of a line
}

// begin takes a request.
func (e *Engine) begin(r *shard.Request) (*task, error) {
	r.Replayed, r.Elsewhere = false, nil
	r.Result.Reset()
	switch {
	case e.ctx.Err() != nil:
		return nil, shard.ErrStopped
	case r.Account != 0 || r.Token == nil:
		return nil, fmt.Errorf("%w: a token that is bound to an account is its cell's", errBound)
	}
	return &task{r: r}, nil
}

var errBound = errors.New("a request came to the wrong engine")

// prepare finds the cells of a task, and makes the parts. Its errors are *event.Problem if nothing was counted.
func (e *Engine) prepare(t *task) error {
	t.until = time.Now().Add(askTimeout)
	e.locate(t)
	if err := e.lookUp(t); err != nil {
		return err
	}
	several, cell := t.cells()
	isOdd := several || slices.Contains(t.at, noCell)
	switch {
	case t.r.Claim != nil && !t.isCheck && (isOdd || len(t.young) > 0):
		if err := e.remember(t); err != nil {
			return err
		}
		if several, cell = t.cells(); !several && !slices.Contains(t.at, noCell) {
			e.whole(t, cell)
			return nil
		}
	case !isOdd || cell == noCell: // Any cell says of unknown products what must be said.
		e.whole(t, cell)
		return nil
	}
	e.split(t)
	return nil
}

// locate looks the products up in this node's copies. Cells of products never change, so what is found is true however
// old the copy is.
func (e *Engine) locate(t *task) {
	b := t.r.Batch
	t.at = make([]int16, len(b.Events))
	copies := make([]*license.Catalogue, e.o.Cells)
	for cell := range copies {
		copies[cell] = e.o.Catalogues(cell)
	}
	young := e.o.NowMs() - youngFor.Milliseconds()
	seen := map[string]int16{}
	var name []byte // of the event before
	var at event.Ref
	cell := int16(refused)
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Fault != event.FaultNone && ev.Fault != event.FaultPayloadTooLarge {
			t.at[i] = refused
			continue
		}
		if n := b.Bytes(ev.Product); name == nil || ev.Product != at && string(n) != string(name) {
			var known bool
			if cell, known = seen[string(n)]; !known {
				cell = e.find(t, copies, n, young)
				seen[string(n)] = cell
			}
			name = n
		}
		at = ev.Product
		t.at[i] = cell
	}
}

// find returns the cell of a product, and notes what must be asked of cell 0.
func (e *Engine) find(t *task, copies []*license.Catalogue, name []byte, youngMs int64) int16 {
	for cell, c := range copies {
		if c == nil {
			continue
		}
		if p := c.Product(name); p != nil {
			if p.CreatedAtMs > youngMs && !e.settled.has(name) {
				t.young = append(t.young, string(name))
			}
			return int16(cell)
		}
	}
	t.unknown = append(t.unknown, string(name))
	return noCell
}

// lookUp asks cell 0 for products that no copy has, and whether young ones were ever said to be unknown.
func (e *Engine) lookUp(t *task) error {
	isTelling := t.r.Claim != nil && !t.isCheck
	if !isTelling {
		t.young = nil // Nothing is remembered of the batch.
	}
	if len(t.unknown)+len(t.young) == 0 {
		return nil
	}
	names := append(slices.Clone(t.unknown), t.young...)
	list, err := e.ask0(names, isTelling, t.until)
	if err != nil && len(t.unknown) > 0 {
		return err
	}
	if err != nil {
		return nil //nolint:nilerr // The batch goes by its home then, which is right whatever the answer had been.
	}
	found := map[string]int16{}
	for i, name := range t.unknown {
		found[name] = int16(list[i].cell)
	}
	var told []string
	for i, n := range list {
		switch name := names[i]; {
		case n.cell == noCell && i < len(t.unknown):
		case n.mayBeTold:
			told = append(told, name)
		case isTelling:
			e.settled.add(name)
		}
	}
	t.young = told
	for i, cell := range t.at {
		if cell == noCell {
			t.at[i] = found[string(t.r.Batch.Bytes(t.r.Batch.Events[i].Product))]
		}
	}
	return nil
}

// ask0 has the owner of cell 0 say where products are.
func (e *Engine) ask0(names []string, tells bool, until time.Time) ([]named, error) {
	var w writer
	w.names(names, tells)
	r, err := e.call(0, callNames, w.b, until)
	if err != nil {
		return nil, err
	}
	list := r.named(len(names))
	if r.end() != nil {
		return nil, noOwner() // Nothing was counted.
	}
	for i := range list {
		if list[i].cell >= e.o.Cells {
			return nil, noOwner()
		}
	}
	return list, nil
}

// call asks one cell for what changes nothing that is counted: whatever goes wrong may be told.
func (e *Engine) call(cell int, name string, body []byte, until time.Time) (*reader, error) {
	answer, err := e.ask(cell, name, body, false, until)
	if err != nil {
		e.logger.Debug("a cell was asked in vain", "cell", cell, "call", name, "error", err)
		return nil, noOwner()
	}
	r, problem, err := refusal(answer)
	switch {
	case err != nil:
		return nil, noOwner()
	case problem != nil:
		return nil, problem
	}
	return r, nil
}

// ask has the owner of a cell answer a call. If that owner does not have the call, since it handed the cell over as it
// was sent, the next one is asked; so it is about whatever changes nothing.
func (e *Engine) ask(cell int, name string, body []byte, changes bool, until time.Time) (answer []byte, err error) {
	ctx, cancel := context.WithDeadline(e.ctx, until)
	defer cancel()
	for range askTries {
		answer, err = e.o.Owners.Ask(ctx, cell, name, body)
		if err == nil || changes && !errors.Is(err, ErrNotSent) {
			break
		}
	}
	return answer, err
}

// cells returns the cell that all events go to, noCell if none goes to any; several says that there is more than one.
func (t *task) cells() (several bool, cell int) {
	cell = noCell
	for _, at := range t.at {
		switch {
		case at < 0 || int(at) == cell:
		case cell >= 0:
			return true, cell
		default:
			cell = int(at)
		}
	}
	return false, cell
}

// home returns the cell that remembers what becomes of a producer's batches. It depends on the name alone.
func (e *Engine) home(producer []byte) int { return int(xxh3.Hash(producer) % uint64(e.o.Cells)) }

// whole makes the batch one part: the cell decides and remembers it as if the gateway had sent it there. One that names
// no product goes to its home.
func (e *Engine) whole(t *task, cell int) {
	if cell < 0 {
		cell = e.home(t.r.Producer)
	}
	s := share{task: t, cell: cell, part: part{isSingle: t.r.Single, isCheck: t.isCheck}}
	if t.r.Claim != nil && !t.isCheck {
		s.hasClaim, s.claim = true, *t.r.Claim
	}
	var w writer
	w.batch(t.r.Batch, nil)
	s.batch = w.b
	t.parts = []share{s}
	e.stats.whole.Add(1)
}

// split makes a part for each cell. If the batch has a sequence, a part's hash is made of the body's hash and the note.
func (e *Engine) split(t *task) {
	of := make([][]int32, e.o.Cells)
	for i, cell := range t.at {
		if cell >= 0 {
			of[cell] = append(of[cell], int32(i))
		} else {
			t.hasOther = true
		}
	}
	for cell, indexes := range of {
		if len(indexes) == 0 {
			continue
		}
		s := share{task: t, cell: cell, indexes: indexes, part: part{isCheck: t.isCheck}}
		if t.note != nil {
			s.hasClaim, s.claim.Sequence = true, t.r.Claim.Sequence
			hashed := append(append(t.r.Claim.Hash[:len(t.r.Claim.Hash):len(t.r.Claim.Hash)], t.note...), byte(cell))
			s.claim.Hash = xxh3.Hash128(hashed).Bytes()
		}
		var w writer
		w.batch(t.r.Batch, indexes)
		s.batch = w.b
		t.parts = append(t.parts, s)
	}
	e.stats.split.Add(1)
}

// remember has the home note where the events go, and takes over what it noted first.
func (e *Engine) remember(t *task) error {
	for _, cell := range t.at {
		if cell >= 0 && !e.o.Owners.Has(e.ctx, int(cell)) {
			return noOwner() // Nothing is noted of a batch that will not be decided now.
		}
	}
	w := writer{}
	w.who(whoOf(t.r))
	w.claim(t.r.Claim)
	note := encodeNote(t.at, t.r.Single)
	w.bytes(note)
	answer, err := e.ask(e.home(t.r.Producer), callRemember, w.b, true, t.until)
	switch {
	case errors.Is(err, ErrNotSent):
		return noOwner()
	case err != nil:
		return e.hangUp(err) // A note counts nothing, but it holds its sequence.
	}
	r, problem, err := refusal(answer)
	switch {
	case err != nil:
		return e.hangUp(err)
	case problem != nil:
		return problem
	}
	t.isNoted = r.bool()
	t.note = slices.Clone(r.bytes(shard.NoteBytesMax))
	if err := r.end(); err != nil {
		return e.hangUp(err)
	}
	e.stats.noted.Add(1)
	isSingle, ok := decodeNote(t.note, t.at, e.o.Cells)
	if !ok { // The same bytes were sent in a format in which they are something else.
		return shard.ProblemOf(claims.ErrReused)
	}
	t.r.Single = isSingle
	return nil
}

func whoOf(r *shard.Request) *who {
	return &who{token: r.Token.Name, hash: r.Token.Hash, producer: r.Producer}
}

// hangUp says that the connection must be closed.
func (e *Engine) hangUp(err error) error {
	e.stats.closed.Add(1)
	e.logger.Debug("an owner did not answer", "error", err)
	return fmt.Errorf("%w: %w", shard.ErrStopped, err)
}

// askOne asks the cell of a part.
func (e *Engine) askOne(s *share, t *task) {
	w := writer{b: make([]byte, 0, len(s.batch)+callHeadBytes)}
	w.who(whoOf(t.r))
	w.uint(1)
	w.part(&s.part)
	s.batch = nil
	e.askFor([]*share{s}, s.cell, w.b, t.until)
}

// askFor asks a cell for parts, whose outcomes it sets.
func (e *Engine) askFor(list []*share, cell int, body []byte, until time.Time) {
	answer, err := e.ask(cell, callDecide, body, !list[0].isCheck, until)
	if err == nil {
		r := begin(answer)
		for _, s := range list {
			r.outcome(&s.outcome)
		}
		err = r.end()
	}
	for _, s := range list {
		s.err = err
	}
}
