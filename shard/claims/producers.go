package claims

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// Options is what a Producers is made of. Tests make it smaller; the zero Options are the bounds of limits.go.
type Options struct {
	AccountMax  int    // producers of an account
	OrdinalMax  uint32 // the largest ordinal
	OrdinalsLow uint32 // a sweep is due when fewer are left
	MemoryBytes int64  // of what is remembered of sequences
	LongBytes   int64  // of long answers that wait for the ledger
}

func (o *Options) fill() {
	if o.AccountMax == 0 {
		o.AccountMax = accountMax
	}
	if o.OrdinalMax == 0 {
		o.OrdinalMax, o.OrdinalsLow = OrdinalMax, ordinalsLow
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = memoryBytesMax
	}
	if o.LongBytes == 0 {
		o.LongBytes = longBytesMax
	}
}

// Producers gives every gateway's name an ordinal, which fits a device's word as its holder. All methods are safe for
// concurrent use, but for those of recovery, which nobody else may call beside.
type Producers struct {
	o      Options
	long   longAnswers
	budget budget

	mu        sync.RWMutex
	accounts  map[uint32]*account
	byOrdinal []*Producer // index = ordinal; 0 is none, and nil are those that are forgotten
	live      int
	free      []uint32    // ordinals that no device's word has
	sweptMs   int64       // when the last sweep began
	low       atomic.Bool // few ordinals are left
}

// account is the names of one account.
type account struct {
	names map[string]*Producer
	// seenMs is not after the time when any of the names was last seen: while it is young, looking for an idle one is
	// in vain.
	seenMs int64
}

// New returns Producers without any.
func New(o Options) *Producers {
	o.fill()
	return &Producers{
		o: o, long: longAnswers{bytesMax: o.LongBytes}, accounts: map[uint32]*account{}, byOrdinal: []*Producer{nil},
	}
}

// Producer is a gateway as its requests name it. Its exported fields never change.
type Producer struct {
	Ordinal uint32
	Account uint32 // 0 is the space that unbound tokens share
	Name    string

	all       *Producers
	seenMs    atomic.Int64 // of its last request, Unix milliseconds
	notedMs   atomic.Int64 // when the log was last told of one
	graceMs   atomic.Int64 // until then it may have sent requests that the log was not told of
	forgotten atomic.Bool
	memory
}

// ErrNoOrdinal means that every ordinal is a producer's or may still be in a device's word: a sweep is due.
var ErrNoOrdinal = errors.New("no ordinal is left for another producer")

// Find returns the producer of a name, nil if there is none. It does not allocate.
func (ps *Producers) Find(account uint32, name []byte) *Producer {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.find(account, name)
}

func (ps *Producers) find(account uint32, name []byte) *Producer {
	if a := ps.accounts[account]; a != nil {
		return a.names[string(name)]
	}
	return nil
}

// Bind returns the producer of a name that sends a request at nowMs, Unix milliseconds. A new name is recorded in b; it
// may take the place of the producer of its account that was idle for longest, if that is at least 24 h. It is called
// inside the gate: who finds a producer that another request has just bound is then in the same group as its record, or
// in a later one. After an error, an *event.Problem or ErrNoOrdinal, nothing was recorded.
func (ps *Producers) Bind(b *record.Builder, account uint32, name []byte, nowMs int64) (*Producer, error) {
	ps.mu.RLock()
	p := ps.find(account, name)
	if p != nil {
		p.alive(b, nowMs) // Under the lock: it is not idle any more for who looks for an idle one.
	}
	ps.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.find(account, name); p != nil {
		p.alive(b, nowMs)
		return p, nil
	}
	switch {
	case ps.left() > 0:
	case ps.unused() > 0:
		return nil, ErrNoOrdinal
	default:
		return nil, ps.tooMany()
	}
	if a := ps.accounts[account]; a != nil && len(a.names) >= ps.o.AccountMax {
		idle := a.idlest(nowMs)
		if idle == nil {
			return nil, ps.tooMany()
		}
		ps.forget(idle)
		b.ForgetProducer(idle.Ordinal)
	}
	r := record.Producer{Ordinal: ps.ordinal(), Account: account, SeenMs: nowMs, Name: name}
	b.BindProducer(r)
	return ps.set(r), nil
}

func (ps *Producers) tooMany() error {
	return tooMany(fmt.Sprintf("at most %d names an account are remembered, and all were used within a day; "+
		"use one of them, or DELETE /v1/producers/{producer} what is not needed", ps.o.AccountMax))
}

func tooMany(detail string) error {
	return &event.Problem{
		Code: event.TooManyProducers, Field: "Meterd-Producer", Detail: "Meterd-Producer: " + detail,
	}
}

// alive notes that p sends a request, and tells the log so from time to time.
func (p *Producer) alive(b *record.Builder, nowMs int64) {
	p.see(nowMs)
	if noted := p.notedMs.Load(); isDue(noted, nowMs) && p.notedMs.CompareAndSwap(noted, nowMs) {
		b.BindProducer(record.Producer{Ordinal: p.Ordinal, Account: p.Account, SeenMs: nowMs, Name: []byte(p.Name)})
	}
}

// IsNoted reports whether the log heard of p less than notedEvery before nowMs. If not, the request must Bind it.
func (p *Producer) IsNoted(nowMs int64) bool { return !isDue(p.notedMs.Load(), nowMs) }

func isDue(notedMs, nowMs int64) bool { return nowMs-notedMs >= notedEvery.Milliseconds() }

func (p *Producer) see(nowMs int64) {
	if p.seenMs.Load() < nowMs {
		p.seenMs.Store(nowMs)
	}
}

// SeenMs returns when its last request came, Unix milliseconds; after a restart, up to an hour before that.
func (p *Producer) SeenMs() int64 { return p.seenMs.Load() }

// sinceMs returns since when p is idle.
func (p *Producer) sinceMs() int64 { return max(p.seenMs.Load(), p.graceMs.Load()) }

// idlest returns who was idle for longest, nil if that is not long enough.
func (a *account) idlest(nowMs int64) (idlest *Producer) {
	if nowMs-a.seenMs < idleMin.Milliseconds() {
		return nil
	}
	var first, second int64 = nowMs, nowMs // The second is the first when the first is forgotten.
	for _, p := range a.names {
		switch seen := p.sinceMs(); {
		case seen < first:
			first, second, idlest = seen, first, p
		case seen < second:
			second = seen
		}
	}
	if nowMs-first < idleMin.Milliseconds() {
		a.seenMs = first
		return nil
	}
	a.seenMs = second
	return idlest
}

// left returns how many names can be bound. ps.mu is held.
func (ps *Producers) left() int { return int(ps.o.OrdinalMax) + 1 - len(ps.byOrdinal) + len(ps.free) }

// unused returns how many of the ordinals that were given nobody has now. ps.mu is held.
func (ps *Producers) unused() int { return len(ps.byOrdinal) - 1 - ps.live }

// ordinal takes an ordinal that is left: one that nobody ever had, while there are some. ps.mu is held.
func (ps *Producers) ordinal() uint32 {
	if n := uint32(len(ps.byOrdinal)); n <= ps.o.OrdinalMax {
		return n
	}
	last := len(ps.free) - 1
	n := ps.free[last]
	ps.free = ps.free[:last]
	return n
}

// set binds an ordinal that nobody has. ps.mu is held.
func (ps *Producers) set(r record.Producer) *Producer {
	ps.reach(r.Ordinal)
	p := &Producer{Ordinal: r.Ordinal, Account: r.Account, Name: string(r.Name), all: ps}
	p.seenMs.Store(r.SeenMs)
	p.notedMs.Store(r.SeenMs)
	p.changed.L = &p.mu
	ps.byOrdinal[r.Ordinal] = p
	ps.live++
	ps.low.Store(ps.left() < int(ps.o.OrdinalsLow))
	ps.name(p)
	return p
}

// name makes p the producer of its name.
func (ps *Producers) name(p *Producer) {
	a := ps.accounts[p.Account]
	if a == nil {
		a = &account{names: map[string]*Producer{}}
		ps.accounts[p.Account] = a
	}
	a.names[p.Name] = p
	a.seenMs = min(a.seenMs, p.seenMs.Load())
}

// reach makes every ordinal up to n one that was given.
func (ps *Producers) reach(n uint32) {
	for int(n) >= len(ps.byOrdinal) {
		ps.byOrdinal = append(ps.byOrdinal, nil)
	}
}

// forget forgets a producer with its sequences. Its ordinal stays in the words of the devices that it held, and is
// nobody's. Requests of it that are being decided are the last of it. ps.mu is held.
func (ps *Producers) forget(p *Producer) {
	p.forgotten.Store(true)
	ps.byOrdinal[p.Ordinal] = nil
	ps.live--
	p.leave()
	a := ps.accounts[p.Account]
	if a.names[p.Name] != p {
		return // Recovery has read of another one of this name.
	}
	delete(a.names, p.Name)
	if len(a.names) == 0 {
		delete(ps.accounts, p.Account)
	}
}

// Forget forgets a producer at once, with its sequences, and records it in b. It returns false if there is none of this
// name. It is called inside the gate.
func (ps *Producers) Forget(b *record.Builder, account uint32, name []byte) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.find(account, name)
	if p == nil {
		return false
	}
	ps.forget(p)
	b.ForgetProducer(p.Ordinal)
	return true
}

// ByOrdinal returns a producer, nil if there is none of this ordinal.
func (ps *Producers) ByOrdinal(n uint32) *Producer {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	if int(n) >= len(ps.byOrdinal) {
		return nil
	}
	return ps.byOrdinal[n]
}

// Name returns the name of an ordinal, "" if there is none.
func (ps *Producers) Name(n uint32) string {
	if p := ps.ByOrdinal(n); p != nil {
		return p.Name
	}
	return ""
}

// Len returns how many producers there are.
func (ps *Producers) Len() int {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.live
}

// Each calls fn for every producer, by ordinal, until it fails. What is bound meanwhile may be among them.
func (ps *Producers) Each(fn func(*Producer) error) error {
	for p := range ps.All() {
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

// All returns the producers, by ordinal. What is bound meanwhile may be among them.
func (ps *Producers) All() iter.Seq[*Producer] {
	return func(yield func(*Producer) bool) {
		ps.mu.RLock()
		n := uint32(len(ps.byOrdinal))
		ps.mu.RUnlock()
		for ordinal := uint32(1); ordinal < n; ordinal++ {
			if p := ps.ByOrdinal(ordinal); p != nil && !yield(p) {
				return
			}
		}
	}
}
