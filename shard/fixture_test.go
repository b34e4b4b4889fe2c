package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/usage"
)

// memLog is a commit log in memory. A test may hold Append back; what Append has not returned for is lost by crash.
type memLog struct {
	mu     sync.Mutex
	groups []commitlog.Group
	hold   chan struct{} // Append waits until it is closed, when not nil
	began  chan struct{} // gets a value when an Append waits
	err    error
	// stopAfter lets so many groups more in; those behind fail. 0: it lets all in.
	stopAfter int
	released  chan uint64 // gets what Release is told, when there is room
	erases    int         // calls of Erase
	// holdsErased is what Erased denies.
	holdsErased bool
	// cell is where groups are appended first, and read: tests look at groups all the same. nil: they are in memory alone.
	cell *cellLog
}

func (l *memLog) Append(g *commitlog.Group) error {
	l.mu.Lock()
	hold, began, err := l.hold, l.began, l.err
	l.mu.Unlock()
	if hold != nil {
		signal(began)
		<-hold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err = errors.Join(err, l.err); err != nil {
		return err
	}
	if l.stopAfter < 0 {
		return errors.New("the disk takes no more")
	}
	if l.stopAfter > 0 {
		if l.stopAfter--; l.stopAfter == 0 {
			l.stopAfter = -1
		}
	}
	if want := uint64(len(l.groups) + 1); g.Seq != want {
		return fmt.Errorf("group %d appended where %d was due", g.Seq, want)
	}
	if n := len(l.groups); n > 0 && g.FirstMs < l.groups[n-1].LastMs {
		return fmt.Errorf("group %d was decided at %d, before group %d at %d", g.Seq, g.FirstMs, n, l.groups[n-1].LastMs)
	}
	kept := *g
	kept.Head, kept.Chunks = bytes.Clone(g.Head), make([][]byte, len(g.Chunks))
	for i, c := range g.Chunks {
		kept.Chunks[i] = bytes.Clone(c)
	}
	if l.cell != nil {
		if err := l.cell.Append(g); err != nil {
			return err
		}
		kept.Chain = g.Chain
		l.groups = append(l.groups, kept)
		return nil
	}
	var before commitlog.Chain
	if n := len(l.groups); n > 0 {
		before = l.groups[n-1].Chain
	}
	kept.Chain = xxh3.Hash128(slices.Concat(append(kept.Chunks, before[:], kept.Head)...)).Bytes()
	g.Chain = kept.Chain
	l.groups = append(l.groups, kept)
	return nil
}

func (l *memLog) Replay(from uint64, fn func(*commitlog.Group) error) error {
	if l.cell != nil {
		return l.cell.segments.Replay(from, fn)
	}
	for _, g := range l.snapshot() {
		if g.Seq >= from {
			if err := fn(&g); err != nil {
				return err
			}
		}
	}
	return nil
}

// inMemory skips a test that changes what the log has, which no stream lets it do.
func (l *memLog) inMemory(t testing.TB) {
	t.Helper()
	if l.cell != nil {
		t.Skip("it changes the log")
	}
}

func (l *memLog) snapshot() []commitlog.Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.groups)
}

func (l *memLog) First() uint64 { return 1 }

func (l *memLog) Last() (uint64, int64, commitlog.Chain) {
	if l.cell != nil {
		return l.cell.segments.Last()
	}
	groups := l.snapshot()
	if len(groups) == 0 {
		return 0, 0, commitlog.Chain{}
	}
	last := groups[len(groups)-1]
	return last.Seq, last.LastMs, last.Chain
}

func (l *memLog) ChainOf(seq uint64) (commitlog.Chain, error) {
	if l.cell != nil {
		return l.cell.segments.ChainOf(seq)
	}
	if seq == 0 {
		return commitlog.Chain{}, nil
	}
	return l.snapshot()[seq-1].Chain, nil
}

// ReadForward implements Log: one group a call.
func (l *memLog) ReadForward(
	ctx context.Context, after uint64, fromMs, toMs int64, bytesMax int, b *commitlog.Block,
) error {
	if l.cell != nil {
		return l.cell.segments.ReadForward(ctx, after, fromMs, toMs, bytesMax, b)
	}
	b.Groups = b.Groups[:0]
	for _, g := range l.snapshot() {
		if g.Seq > after && g.LastMs >= fromMs && g.FirstMs <= toMs {
			b.Groups = append(b.Groups, g)
			return nil
		}
	}
	return nil
}

func (l *memLog) Release(_ int64, passed uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released != nil {
		select {
		case l.released <- passed:
		default:
		}
	}
	return nil
}

// Erase implements Log: what is in memory is on no disk.
func (l *memLog) Erase() (uint64, error) {
	last, _, _ := l.Last()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erases++
	return last, l.err
}

// Erased implements Log.
func (l *memLog) Erased(uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.holdsErased
}

// memStore is a ledger's store in memory.
type memStore struct {
	mu   sync.Mutex
	rows map[string][]byte
	at   ledger.Position
	err  error // of writing
	// last, if it is not 0, is how many transactions are written before writing fails and stopped is closed.
	last    int
	stopped chan struct{}
	get     error // of Get
}

func newMemStore() *memStore { return &memStore{rows: map[string][]byte{}} }

// clone returns a copy: a backup.
func (l *memStore) clone() *memStore {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &memStore{rows: maps.Clone(l.rows), at: l.at}
}

// refuse has writes fail from now on; nil lets them succeed again.
func (l *memStore) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.last = err, 0
}

// stopAfter has n more transactions written; then stopped is closed, and writing fails.
func (l *memStore) stopAfter(n int) (stopped chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.stopped = n, make(chan struct{})
	return l.stopped
}

func (l *memStore) Position() ledger.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

func (l *memStore) Write(entries []ledger.Entry, to ledger.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.put(entries)
	if err == nil {
		l.at = to
	}
	return err
}

func (l *memStore) WritePart(entries []ledger.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(entries)
}

func (l *memStore) put(entries []ledger.Entry) error {
	if l.err != nil {
		return l.err
	}
	if l.last > 0 {
		if l.last--; l.last == 0 {
			l.err = errors.New("the last transaction is written")
			close(l.stopped)
		}
	}
	for _, e := range entries {
		if e.Delete {
			delete(l.rows, string(e.Key))
			continue
		}
		l.rows[string(e.Key)] = bytes.Clone(e.Value)
	}
	return nil
}

func (l *memStore) Get(key []byte) ([]byte, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.rows[string(key)]
	return v, ok, l.get
}

// fail has Get fail from now on; nil lets it succeed again.
func (l *memStore) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.get = err
}

// forget loses every row whose key begins with prefix.
func (l *memStore) forget(prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.rows, func(k string, _ []byte) bool { return strings.HasPrefix(k, prefix) })
}

func (l *memStore) Close() error { return nil }

func (l *memStore) Instant() (ledger.Reader, error) { return l.clone(), nil }

func (l *memStore) Maintain(context.Context, int64) error { return nil }

func (l *memStore) Scan(prefix, start []byte, reverse bool, fn func(k, v []byte) (bool, error)) error {
	l.mu.Lock()
	var keys []string
	rows := map[string][]byte{}
	for k, v := range l.rows {
		if bytes.HasPrefix([]byte(k), prefix) {
			keys, rows[k] = append(keys, k), v
		}
	}
	l.mu.Unlock()
	slices.Sort(keys)
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if start != nil && ((reverse && k > string(start)) || (!reverse && k < string(start))) {
			continue
		}
		if more, err := fn([]byte(k), rows[k]); err != nil || !more {
			return err
		}
	}
	return nil
}

// wideDisk never is full.
type wideDisk struct{ full atomic.Bool }

func (d *wideDisk) Stopped() bool   { return d.full.Load() }
func (d *wideDisk) Low() bool       { return d.full.Load() }
func (d *wideDisk) Exhausted() bool { return false }
func (d *wideDisk) Reserve(uint64)  {}

// handClock is a clock that a test moves.
type handClock struct {
	mu      sync.Mutex
	wall    time.Time
	running time.Duration
}

func (c *handClock) Now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall, c.running
}

// pass lets time pass on both clocks.
func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.running = c.wall.Add(d), c.running+d
}

// set moves the wall clock alone.
func (c *handClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = t
}

// machine is what survives a crash, and the engine that runs on it.
type machine struct {
	t      testing.TB
	log    *memLog
	store  *memStore
	dir    string // of checkpoints
	disk   *wideDisk
	clock  *handClock
	lanes  int
	claims claims.Options
	cuts   cutBounds
	// logPayload is Options.LogPayloadBytes
	logPayload int
	eraser     Eraser
	// retention of usage, as snapshots are told
	retention time.Duration
	*Engine
}

var testStart = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newMachine(t testing.TB) *machine {
	m := &machine{
		t: t, log: &memLog{}, store: newMemStore(), dir: t.TempDir(), disk: &wideDisk{},
		clock: &handClock{wall: testStart}, lanes: 4,
	}
	if onStream() {
		m.log.cell = newCellLog(t)
	}
	m.start()
	t.Cleanup(func() { m.kill() })
	return m
}

func (m *machine) options() Options {
	m.t.Helper()
	checkpoints, err := disk.OpenCheckpoints(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	var barrier func() error
	if m.log != nil && m.log.cell != nil {
		barrier = func() error { return m.log.cell.Barrier() }
	}
	return Options{
		Barrier:         barrier,
		Log:             m.log,
		Ledger:          usage.New(usage.Options{Store: m.store}),
		Checkpoints:     checkpoints,
		Guard:           m.disk,
		Clock:           m.clock,
		HashSeed:        42,
		Region:          "default",
		Retention:       168 * time.Hour,
		Lanes:           m.lanes,
		claims:          m.claims,
		cuts:            m.cuts,
		LogPayloadBytes: m.logPayload,
		Eraser:          m.eraser,
	}
}

func (m *machine) start() {
	m.t.Helper()
	if m.log != nil && m.log.cell != nil {
		m.log.cell.own(m.t)
	}
	e, err := Open(m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	m.Engine = e
}

// kill ends the engine as a crash does: what is not in log, ledger or checkpoint is gone.
func (m *machine) kill() {
	if m.Engine == nil {
		return
	}
	m.fail(errors.New("killed"))
	m.log.mu.Lock()
	if m.log.hold != nil {
		m.log.err = errors.New("killed")
		close(m.log.hold)
		m.log.hold = nil
	}
	m.log.mu.Unlock()
	close(m.stop)
	m.wg.Wait()
	<-m.cutting.place // A cut that was open has ended.

	m.store.refuse(errors.New("killed")) // What the ledger lacks, it gets from the log at the next start.
	m.views.Close()
	m.store.refuse(nil)
	// Somebody may still look at the table for a moment: it is given back at the end.
	table := m.table
	m.t.Cleanup(func() {
		if err := table.Close(); err != nil {
			m.t.Error(err)
		}
	})
	m.Engine = nil
	m.log.mu.Lock()
	m.log.err = nil
	m.log.mu.Unlock()
}

func (m *machine) crash() {
	m.t.Helper()
	m.kill()
	m.start()
}

// gifts are what a new enterprise account is given (R6).
const gifts = 10

// product creates product name with its own enterprise account, and a lot of licences beside the gifts.
func (m *machine) product(name, plan string, licenses uint64) {
	m.t.Helper()
	m.productIn(name, "UTC", plan, licenses)
}

// productIn is product in a time zone.
func (m *machine) productIn(name, zone, plan string, licenses uint64) {
	m.t.Helper()
	var patch license.PlanPatch
	if err := patch.UnmarshalJSON([]byte(plan)); err != nil {
		m.t.Fatal(err)
	}
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateAccount(by, "acc-"+name, license.Enterprise, "")
		return next, ch, err
	})
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateProduct(
			by,
			license.ProductSpec{Name: name, Account: "acc-" + name, Zone: zone, Plan: patch},
		)
		return next, ch, err
	})
	if licenses > 0 {
		m.credit(name, "LOT-1", licenses, false)
	}
}

// administrator returns a token that may do everything, making it first.
func (m *machine) administrator() *access.Token {
	m.t.Helper()
	if m.Catalogue().Token("admin") == nil {
		m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			return c.CreateToken(by, access.Token{Name: "admin", Role: access.RoleAdmin})
		})
	}
	return m.Catalogue().Token("admin")
}

func (m *machine) credit(product, order string, n uint64, units bool) {
	m.t.Helper()
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: n, Units: units})
		return next, ch, err
	})
}

func (m *machine) administer(
	fn func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error),
) {
	m.t.Helper()
	if err := m.Administer("test", nil, fn); err != nil {
		m.t.Fatal(err)
	}
}

// request builds a batch from NDJSON.
func request(t testing.TB, lines string) *Request {
	t.Helper()
	r := &Request{Batch: &event.Batch{}}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines)); p != nil {
		t.Fatal(p)
	}
	r.Single = len(r.Batch.Events) == 1
	return r
}

// submit decides lines and returns the codes, in order.
func (m *machine) submit(lines string) []string {
	m.t.Helper()
	r := request(m.t, lines)
	if err := m.Submit(r); err != nil {
		m.t.Fatal(err)
	}
	return codes(r)
}

func codes(r *Request) []string {
	out := make([]string, len(r.Batch.Events))
	for i := range out {
		out[i] = "accepted"
	}
	for _, d := range r.Result.Denials {
		out[d.Index] = d.Verdict.Code.String()
	}
	return out
}

func line(kind, product, device string) string {
	return fmt.Sprintf("{\"type\":%q,\"product\":%q,\"device\":%q,\"size\":100}\n", kind, product, device)
}

// seenDevice is what tests look at of a device. Times are Unix seconds.
type seenDevice struct {
	Name                            string
	Active, Online, Suspended       bool
	Holder                          string
	ActivatedS, ExpiresS, LastSeenS int64
	Up, Down                        uint32
	Denied                          uint64
	OTA                             counters.OTAWord // of the running month
}

// device looks at a device; ok is false if it was never active.
func (m *machine) device(product, name string) (d seenDevice, ok bool) {
	m.t.Helper()
	err := m.View(func(v *View) {
		p := v.Catalogue.Product([]byte(product))
		slot := v.Table.Find(v.Table.KeyOf(p.ID, []byte(name)))
		if slot == nil || slot.License().Generation() == 0 {
			return
		}
		ok = true
		session, window := slot.Session(), p.Window(v.NowMs)
		day := slot.Message().At(window.Day)
		d = seenDevice{
			Name: name, Suspended: session.Suspended(), Holder: v.Producers.Name(session.Holder()),
			ActivatedS: int64(v.Table.Grant(slot.Ordinal()).ActivatedAt) + epochS,
			LastSeenS:  int64(slot.Seen().LastSeen()) + epochS,
			Up:         day.Up(), Down: day.Down(), Denied: slot.Denied().At(window.Day).Denied(),
			OTA: slot.OTA().At(window.Month),
		}
		d.ExpiresS = p.ExpiryS(d.ActivatedS)
		d.Active = slot.License().State() == counters.LicenseActive && v.NowMs/1000 < d.ExpiresS
		d.Online = d.Active && session.Online()
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return d, ok
}

// stock returns a product's licences and top-up units.
func (m *machine) stock(product string) (licenses, topups license.Counts) {
	m.t.Helper()
	err := m.View(func(v *View) {
		p := v.Catalogue.Product([]byte(product))
		p.State.Account.Lock()
		defer p.State.Account.Unlock()
		licenses, topups = p.Licenses(), p.Topups()
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return licenses, topups
}

// licenses returns a product's licences.
func (m *machine) licenses(product string) license.Counts {
	m.t.Helper()
	c, _ := m.stock(product)
	return c
}

// logged returns the rows that the log has of messages, accepted or denied.
func (m *machine) logged() []record.Row {
	m.t.Helper()
	return slices.DeleteFunc(m.rows(), func(r record.Row) bool { return r.Type != event.Up && r.Type != event.Down })
}

// rows returns all rows of the log.
func (m *machine) rows() (rows []record.Row) {
	m.t.Helper()
	for _, g := range m.log.snapshot() {
		for _, stored := range g.Chunks {
			raw, err := m.compress.Decompress(nil, stored)
			if err != nil {
				m.t.Fatal(err)
			}
			c, err := record.Open(raw)
			if err != nil {
				m.t.Fatal(err)
			}
			scan := c.Scan()
			for scan.Next() {
				rows = append(rows, scan.Row) // raw belongs to this chunk alone.
			}
			if err := scan.Err(); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	return rows
}

// gifts leaves an account so many gifts, by drawing the others for devices of another product.
func (m *machine) gifts(product string, left int) {
	m.t.Helper()
	name := "gifts-of-" + product
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateProduct(by, license.ProductSpec{Name: name, Account: "acc-" + product, Zone: "UTC"})
		return next, ch, err
	})
	for i := range gifts - left {
		if got := m.submit(line("connect", name, fmt.Sprint("g", i))); got[0] != "accepted" {
			m.t.Fatalf("drawing gift %d: %s", i, got[0])
		}
	}
}

// withoutEnds calls fn while the engine decides no end of a licence by itself.
func (m *machine) withoutEnds(fn func()) {
	m.expiry.running.Lock()
	defer m.expiry.running.Unlock()
	fn()
}

// withoutDayEnds calls fn while the engine ends no day by itself.
func (m *machine) withoutDayEnds(fn func()) {
	m.days.running.Lock()
	defer m.days.running.Unlock()
	fn()
}

// ends decides every end that is due and closes the days that are over, as the engine does by itself a little later.
func (m *machine) ends() {
	m.t.Helper()
	if err := errors.Join(m.expire(), m.closeDays()); err != nil {
		m.t.Fatal(err)
	}
	if err := m.Durable(); err != nil {
		m.t.Fatal(err)
	}
}
