package shard

import (
	"errors"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
)

// Request is one batch and its answer. It is reused: its scratch memory grows to the largest batch it has seen. It is
// not safe for concurrent use.
type Request struct {
	Batch    *event.Batch
	Token    *access.Token // checked again as the batch is decided; nil: not at all
	Account  uint32        // ordinal of the account that the token is bound to, 0 for all
	Producer []byte        // the gateway's name, empty without; it is not kept
	Claim    *claims.Claim // the sequence that the request carries, nil without; it needs a Producer
	Single   bool          // one single event: Result.Last carries the quota's numbers on acceptance too
	Result   event.Result
	// Replayed says that the answer is that of the same sequence before; DecidedMs is when it was decided, Unix
	// milliseconds.
	Replayed  bool
	DecidedMs int64
	// Elsewhere is set by an engine that has others decide: it stands for the group.
	Elsewhere Elsewhere

	group    *group        // what Settle waits for; nil: nothing
	refusal  error         // what Settle returns then
	claim    claims.Ticket // of the sequence, from Decide to Settle
	products []*license.Product
	keys     []counters.Key
	slots    []*counters.Slot
	// eventKeys are those of events that have an origin, zeroes of others; empty if none has one. origin is scratch.
	eventKeys []record.EventKey
	origin    []byte
	// what the ledger knew about ids of OTAs, by index, when the request was looked up
	hasIDs       bool
	upgrades     map[int]*record.Upgrade
	upgradeEpoch uint64
}

// Elsewhere is the answer to a request that others were asked for.
type Elsewhere interface {
	// IsDone reports whether Settle would not wait.
	IsDone() bool
	// Tell has fn called once when IsDone is true, by any goroutine; at once if it is.
	Tell(fn func())
}

// Submit decides the events of r.Batch in order and returns when they are durable, with the verdicts in r.Result. After
// ErrClockLeap, ErrDiskFull, ErrUnsafe, ErrOutOfMemory, ErrOverloaded, ErrLedgerLags, ErrTokenRevoked, an error about
// the sequence or a *event.Problem this call counted nothing; after ErrStopped it is unknown. What a repeated sequence
// counted when it was decided stays counted, also if ErrLedgerLags says that its answer cannot be read.
func (e *Engine) Submit(r *Request) error {
	if err := e.Decide(r); err != nil {
		return err
	}
	return e.Settle(r)
}

// Decide is the first half of Submit: it decides, or finds the answer of the same sequence, and returns without waiting
// for the disk. What r holds then must not leave before Settle has returned nil; after an error there is nothing to
// settle. Where another node may take over, an error that comes from the state is Settle's. It still waits for room:
// for a lane, for the seal of a group that is full, for another request with the same sequence to be decided. The group
// stays open for more until Settle or Watch waits for it: a caller that decides many requests and then waits has them
// stored together.
func (e *Engine) Decide(r *Request) error {
	if err := e.refuse(); err != nil {
		return err
	}
	r.Replayed, r.group, r.refusal = false, nil, nil
	r.claim.Reset()
	decide := e.decideFresh
	if r.Claim != nil {
		decide = e.decideClaimed
	}
	err := decide(r)
	if e.o.Barrier == nil || err != nil && !isOfState(err) {
		return err
	}
	e.witnessed(r, err)
	return nil
}

// witnessed has a request wait that left no record, found an old answer, or was refused, for another node may have
// decided since.
func (e *Engine) witnessed(r *Request, refusal error) {
	if refusal != nil {
		r.claim.Reset()
	}
	r.refusal = refusal
	if replayed, _ := r.claim.Replayed(); r.group != nil && !replayed {
		return
	}
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	r.group = e.witness()
}

// isOfState reports whether an error says what the state is, so that another node could know better. The others are
// true of this node, or ask for another try.
func isOfState(err error) bool {
	var p *event.Problem
	return errors.Is(err, ErrTokenRevoked) || errors.Is(err, claims.ErrTooOld) || errors.Is(err, claims.ErrReused) ||
		errors.As(err, &p)
}

// proved returns err when it is durable, and proved if another node may have decided since.
func (e *Engine) proved(err error) error {
	if e.o.Barrier == nil || !isOfState(err) {
		return err
	}
	if gone := e.Durable(); gone != nil {
		return gone
	}
	return err
}

// Watch has r's group stored, and one value sent to c, unless c is full, when the disk has the group or never will:
// then Settle does not wait. It returns false and sends nothing if that is so already.
func (e *Engine) Watch(r *Request, c chan<- struct{}) bool {
	if r.group == nil || !r.group.watch(c) {
		return false
	}
	signal(e.gate.kick)
	return true
}

// IsDurable reports whether Settle would not wait.
func (r *Request) IsDurable() bool {
	if r.Elsewhere != nil {
		return r.Elsewhere.IsDone()
	}
	return r.group == nil || r.group.IsDone()
}

// ReadsLedger reports whether Settle will read the answer from the ledger, perhaps from disk, because r repeats a
// sequence whose answer was long. It may be called from Decide to Settle.
func (r *Request) ReadsLedger() bool {
	_, inLedger := r.claim.Replayed()
	return inLedger
}

// Settle is the second half of Submit: it waits until what Decide found is durable, and completes r.Result.
func (e *Engine) Settle(r *Request) error {
	g, refusal := r.group, r.refusal
	r.group, r.refusal = nil, nil
	if g != nil {
		if err := e.await(g); err != nil {
			return err
		}
	}
	if refusal != nil {
		return refusal
	}
	return e.settleClaim(r)
}

// decideFresh decides a request that was not decided before.
func (e *Engine) decideFresh(r *Request) (err error) {
	for range lookAgainMax {
		r.Result.Reset()
		connects := e.resolve(r)
		if r.hasIDs {
			if err := e.resolveUpgrades(r); err != nil {
				return err
			}
		}
		need := room{request: r, bytes: len(r.Batch.Data) + rowBytes*len(r.Batch.Events), devices: connects}
		r.group, err = e.withTurn(need, (*turn).decideBatch)
		if err != errLookAgain { //nolint:errorlint // It is a value of this package that is never wrapped.
			return err
		}
	}
	return ErrOverloaded
}

// errLookAgain means that ids went from memory to the ledger since the request looked there: nothing was decided.
var errLookAgain = errors.New("look the ids up again")

// refuse says why nothing may be counted now.
func (e *Engine) refuse() error {
	switch {
	case e.Err() != nil:
		return ErrStopped
	case e.o.Guard.Stopped():
		return ErrDiskFull
	case e.clock.leapt():
		return ErrClockLeap
	case e.unsafe():
		return ErrUnsafe
	}
	return nil
}

func (e *Engine) unsafe() bool { return e.o.Unsafe != nil && e.o.Unsafe() }

// await has g stored, and returns when it is durable or never will be. It waits for one channel alone: waiting for the
// end of the engine too would queue the goroutine twice. All waiting goroutines are woken at once; that each wakes the
// next was tried, and was slower.
func (e *Engine) await(g *group) error {
	if !g.IsDone() {
		signal(e.gate.kick)
	}
	<-g.done
	return g.err
}

// resolve looks up products and hashes names, outside the gate: ordinals of products never change, so what an older
// catalogue says of a name stays true. It returns how many devices the batch could add.
func (e *Engine) resolve(r *Request) (connects int) {
	r.hasIDs = false
	events := r.Batch.Events
	if cap(r.keys) < len(events) {
		r.keys = make([]counters.Key, len(events))
		r.slots = make([]*counters.Slot, len(events))
		r.products = make([]*license.Product, len(events))
	}
	r.keys, r.slots, r.products = r.keys[:len(events)], r.slots[:len(events)], r.products[:len(events)]
	cat := e.catalogue.Load()
	var product *license.Product
	var name []byte
	var at event.Ref // of name; in a protobuf batch the events of a product share it
	for i := range events {
		ev := &events[i]
		r.products[i] = nil
		if ev.Fault != event.FaultNone && ev.Fault != event.FaultPayloadTooLarge {
			continue
		}
		if product == nil || ev.Product != at {
			if n := r.Batch.Bytes(ev.Product); product == nil || string(n) != string(name) {
				product, name = cat.Product(n), n
			}
			at = ev.Product
		}
		if product == nil {
			continue
		}
		r.products[i] = product
		r.keys[i] = e.table.KeyOf(product.ID, r.Batch.Bytes(ev.Device))
		if ev.Type == event.Connect {
			connects++
		}
		r.hasIDs = r.hasIDs || ev.ID.Len > 0
	}
	e.resolveOrigins(r)
	return connects
}

// enter waits for a lane and for room, and enters the open group. bytes is what the request may add to the group,
// devices how many devices it may add to the table. After enter comes leave. It fails with ErrOutOfMemory if the room
// is not there although Grow tried.
func (e *Engine) enter(bytes, devices int) (*lane, error) {
	g := e.gate
	failures := e.shortage.failures.Load()
	for range enterTriesMax {
		l := <-g.lanes
		g.mu.RLock()
		if e.closed.Load() {
			g.mu.RUnlock()
			g.lanes <- l
			return nil, ErrStopped
		}
		promised := g.open.bytes.Add(int64(bytes))
		fits := promised <= groupBytesMax || promised == int64(bytes)
		if fits && (devices == 0 || e.table.Reserve(devices)) {
			g.open.entered.Add(1)
			return l, nil
		}
		g.open.bytes.Add(int64(-bytes))
		g.mu.RUnlock()
		g.lanes <- l
		room := 0
		if fits {
			if e.shortage.failures.Load() != failures {
				return nil, ErrOutOfMemory
			}
			room = devices
		}
		if err := e.cut(room, nil); err != nil {
			return nil, err
		}
	}
	return nil, ErrOverloaded
}

// cut runs fn between two groups, where no request decides, and returns afterwards. room is for how many new devices
// the table must have room then.
func (e *Engine) cut(room int, fn func()) error {
	done := e.gate.cuts.add(room, fn)
	signal(e.gate.kick)
	select {
	case <-done:
	case <-e.stop:
		return ErrStopped
	}
	if e.Err() != nil {
		return ErrStopped
	}
	return nil
}
