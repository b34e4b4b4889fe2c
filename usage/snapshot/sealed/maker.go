package sealed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

// Options is what a Maker is made of.
type Options struct {
	Store *Store
	// Cut opens what an account's devices and products used in a month, account "" for all, as of now.
	Cut func(ctx context.Context, account string, month uint32) (snapshot.Source, error)
	// Catalogue and NowMs are the engine's.
	Catalogue func() *license.Catalogue
	NowMs     func() int64
	// Products returns an account's products, for account "" those of all that a snapshot of all accounts has; nil: those
	// of the catalogue. If it returns none nothing is scheduled.
	Products func(account string) []*license.Product
	// Note writes an entry of the audit log in the daemon's own name.
	Note NoteFunc
	// Audit reads the audit log, with everything that was answered before the call; nil: this directory knows all. Record
	// is what was read of it by others, nil: nothing.
	Audit  AuditFunc
	Record *Record
	// Spread waits until other nodes have a snapshot that is sealed, or for as long as it likes; nil: there are none.
	// Others may be sealed meanwhile.
	Spread func(ctx context.Context, m *Manifest)
	// Unwritten reports whether an error of a NoteFunc says for certain that the entry was not written; nil: none does.
	Unwritten func(error) bool
	// Room reports whether the disk has room for so many bytes more; nil: it always has. Snapshots yield to everything
	// else.
	Room func(bytes uint64) bool
	// Keep is how long daily snapshots of the schedule are kept, if the final one of their month is sealed; 0: for ever.
	// With ExportTo, the name of a place of export, they are kept until it has them.
	Keep     time.Duration
	ExportTo string
	Logger   *slog.Logger
}

// NoteFunc writes an entry of the audit log and returns when it is durable. An error means that it was not written, or
// that nobody knows.
type NoteFunc func(action, target string, detail any) error

func (o *Options) fill() {
	if o.Products == nil {
		o.Products = func(account string) []*license.Product { return o.Catalogue().Products(account) }
	}
	if o.Record == nil {
		o.Record = &Record{}
	}
	if o.Audit == nil {
		o.Audit = func(uint64, func(license.AuditEntry) bool) error { return nil }
	}
	if o.Spread == nil {
		o.Spread = func(context.Context, *Manifest) {}
	}
	if o.Room == nil {
		o.Room = func(uint64) bool { return true }
	}
	if o.Unwritten == nil {
		o.Unwritten = func(error) bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate reports every fault of the options at once; zeroes stand for defaults.
func (o Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("sealed: "+what+" is needed"))
		}
	}
	need(o.Store != nil, "Store")
	need(o.Cut != nil, "Cut")
	need(o.Catalogue != nil, "Catalogue")
	need(o.NowMs != nil, "NowMs")
	need(o.Note != nil, "Note")
	return errors.Join(errs...)
}

// Maker makes snapshots, one at a time. It is safe for concurrent use.
type Maker struct {
	o       Options
	store   *Store
	place   chan struct{}  // who holds it makes a snapshot
	spreads sync.WaitGroup // calls of Spread, each begun by who has the place
	waiting atomic.Int32
	holders atomic.Int32 // who copy what is there: nothing is removed meanwhile
	stats   stats
	life    context.Context // of every snapshot: ends with Close
	end     context.CancelFunc
	caught  bool   // the store knows what the audit log says; who has the place owns it
	gone    string // the newest month that the schedule can no longer make up for; Run owns it

	mu      sync.Mutex
	failing string // what the schedule was last refused for
}

// NewMaker returns a Maker.
func NewMaker(o Options) (*Maker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.fill()
	m := &Maker{o: o, store: o.Store, place: make(chan struct{}, 1)}
	m.life, m.end = context.WithCancel(context.Background())
	m.store.own()
	return m, nil
}

// Close ends the snapshot that is being made, of which nothing is left, and refuses others. It returns when nothing of
// what Options name is used any more, but for what Run does, whose context has ended before.
func (m *Maker) Close() {
	m.end()
	m.place <- struct{}{} // It is never given back.
	m.spreads.Wait()
}

// Store returns where the snapshots lie.
func (m *Maker) Store() *Store { return m.store }

// Request asks for a snapshot as of now.
type Request struct {
	Account  *string // nil: that of the corrected one; "" is all
	Period   string  // 2026-11; "": that of the corrected one, or the running month
	Corrects string  // id of the snapshot that this one takes the place of; "": none
	Bound    string  // the account that the caller is bound to, "" for none: Account is that
	Token    string  // the caller's name
	Note     NoteFunc

	day, month string // what the schedule makes it for
}

// Make makes a snapshot and returns it sealed. What is wrong with the request, or not possible now, is reported as a
// *event.Problem. When ctx ends before the snapshot is begun, nothing is made. Once it has begun, the snapshot is made
// even if ctx ends.
func (m *Maker) Make(ctx context.Context, r Request) (*Manifest, error) {
	scope, err := m.scope(&r)
	if err != nil {
		return nil, err
	}
	if !m.o.Room(m.estimate(scope.account)) {
		return nil, errNoRoom()
	}
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	leave := sync.OnceFunc(func() { <-m.place })
	defer leave()
	began := time.Now()
	made, err := m.seal(m.life, &r, scope)
	m.stats.count(made, err, time.Since(began))
	var d *snapshot.Difference
	switch {
	case errors.As(err, &d):
		return nil, m.refuse(&r, scope, d)
	case err != nil:
		return nil, fmt.Errorf("make a snapshot of %s: %w", calendar.MonthName(scope.month), err)
	}
	m.o.Logger.Info("a snapshot is sealed", "snapshot", made.ID, "period", made.Period, "account", made.AccountName(),
		"final", made.Final, "rows", made.Rows, "seconds", time.Since(began).Seconds(), "sha256", made.SHA256)
	m.spreads.Add(1)
	defer m.spreads.Done()
	leave() // Whoever waits for the place waits for no other node.
	m.o.Spread(m.life, made)
	return made, nil
}

// estimate returns how many bytes a snapshot of an account will take, at least.
func (m *Maker) estimate(account string) uint64 {
	devices := int64(0)
	for _, p := range m.o.Products(account) {
		devices += max(0, p.State.Active.Load())
	}
	return uint64(devices)*rowBytes + aheadBytes
}

// enter waits until no other snapshot is made.
func (m *Maker) enter(ctx context.Context) error {
	busy := &event.Problem{Code: event.Overloaded, Detail: "another snapshot is being made; send it again"}
	if m.waiting.Add(1) > waitingMax {
		m.waiting.Add(-1)
		return busy
	}
	defer m.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	select {
	case m.place <- struct{}{}:
		if err := m.life.Err(); err != nil {
			<-m.place
			return err
		}
		return nil
	case <-m.life.Done():
		return m.life.Err()
	case <-ctx.Done():
		return busy
	}
}

// Hold calls fn while no snapshot is made or removed, so that the audit log has those that are there, and no other. If
// fn returns nil they stay until let is called. It waits for a snapshot that is being made.
func (m *Maker) Hold(ctx context.Context, fn func() error) (let func(), err error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-m.place }()
	if err := m.store.whole(); err != nil {
		return nil, err
	}
	if err := fn(); err != nil {
		return nil, err
	}
	m.holders.Add(1)
	return sync.OnceFunc(func() { m.holders.Add(-1) }), nil
}

// seal makes the snapshot. It is decided by its entry in the audit log: what has none is dropped. If nobody knows
// whether it has one, the draft stays as it is: a restart completes it, and writes the entry if it must.
func (m *Maker) seal(ctx context.Context, r *Request, s scope) (*Manifest, error) {
	source, err := m.o.Cut(ctx, s.account, s.month)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if err := m.completeAudit(); err != nil {
		return nil, err
	}
	d, err := m.store.begin()
	if err != nil {
		return nil, err
	}
	made, err := m.fill(ctx, d, source, r, s)
	if err == nil {
		err = m.note(r.Note, license.ActionSnapshotCreate, made)
		if err != nil && !m.o.Unwritten(err) {
			m.o.Logger.Error("nobody knows whether a snapshot stands in the audit log: no other is sealed before the daemon "+
				"is restarted, which completes it", "snapshot", made.ID, "error", err)
			return nil, m.store.halt(made, "may stand in the audit log or not", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.drop())
	}
	if err := d.seal(made); err != nil {
		return nil, err
	}
	if err := m.store.audited(made); err != nil { // It is sealed; the next position that is written has this one, too.
		m.o.Logger.Error("POSITIONS lacks a sealed snapshot; it is written again with the next", "snapshot", made.ID,
			"error", err)
	}
	return made, nil
}

// look takes what the audit log has gained.
func (m *Maker) look() error {
	if err := m.o.Record.Follow(m.o.Audit); err != nil {
		return err
	}
	m.store.looked()
	return nil
}

// catchUp has sequences and the chain go on behind what another node has sealed. From then on this node alone seals.
func (m *Maker) catchUp() error {
	if m.caught {
		return nil
	}
	err := m.look()
	if err == nil {
		err = m.store.reach(m.o.Record.end())
	}
	m.caught = err == nil
	return err
}

// Awaited reports whether the audit log names a snapshot whose files this node of a cluster does not have yet, "" for
// any; or whether it does not know that yet.
func (m *Maker) Awaited(id string) bool { return m.store.awaited(m.o.Record, id) }

// fill writes everything of the snapshot.
func (m *Maker) fill(
	ctx context.Context, d *draft, source snapshot.Source, r *Request, s scope,
) (*Manifest, error) {
	w := fileWriter{dir: d.dir, room: m.o.Room, zone: func(name string) (*time.Location, bool) {
		if p := m.o.Catalogue().Product([]byte(name)); p != nil {
			return p.Zone, true
		}
		if zoned, ok := source.(interface {
			Zone(product string) (*time.Location, bool)
		}); ok {
			return zoned.Zone(name)
		}
		return nil, false
	}}
	files, err := w.write(ctx, source)
	if err != nil {
		return nil, err
	}
	about := source.About()
	made := &Manifest{
		Account: pointTo(s.account), AsOf: Instant(about.AsOfMs), Group: about.Group, Period: calendar.MonthName(s.month),
		Final: about.Final, Rows: about.Rows, Corrects: pointTo(r.Corrects), SealedAt: Instant(m.o.NowMs()), MadeBy: r.Token,
		ScheduledDay: r.day, ScheduledMonth: r.month, Files: files,
	}
	return made, d.complete(made)
}

// note writes a snapshot's entry in the audit log.
func (m *Maker) note(by NoteFunc, action string, about *Manifest) error {
	manifest, err := about.Encode()
	if err != nil {
		return err
	}
	return by(action, about.ID, noteOf(about, manifest))
}

// refuse shouts about numbers that differ, and answers so.
func (m *Maker) refuse(r *Request, s scope, d *snapshot.Difference) error {
	m.o.Logger.Error("a snapshot is refused: its numbers do not add up", "period", calendar.MonthName(s.month),
		"account", s.account, "product", d.Product, "field", d.Field, d.Left, d.LeftNumber, d.Right, d.RightNumber)
	err := m.o.Note(license.ActionSnapshotRefuse, calendar.MonthName(s.month), map[string]any{
		"account": pointTo(s.account), "product": d.Product, "field": d.Field, d.Left: d.LeftNumber, d.Right: d.RightNumber,
		"token": r.Token,
	})
	if err != nil {
		m.o.Logger.Error("the refusal of a snapshot could not be written to the audit log", "error", err)
	}
	return &event.Problem{Code: event.TotalsDiffer, Detail: d.Error()}
}

// completeAudit writes what a crash kept from the audit log. Who calls it makes a snapshot, and is alone.
func (m *Maker) completeAudit() error {
	if err := m.catchUp(); err != nil {
		return err
	}
	for _, made := range m.store.unaudited() {
		if err := m.note(m.o.Note, license.ActionSnapshotCreate, made); err != nil {
			return fmt.Errorf("note snapshot %s in the audit log: %w", made.ID, err)
		}
		if err := m.store.audited(made); err != nil {
			return err
		}
	}
	return nil
}
