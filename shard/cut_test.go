package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/recovery"
	"github.com/meterd/meterd/shard/views"
)

// deviceLines writes the devices of a table as text. Ends are computed by the catalogue: a word of an older plan is
// replaced when somebody looks (R9), which no record says.
func deviceLines(t *counters.Table, cat *license.Catalogue) (lines []string) {
	t.Walk(0, func(o counters.Ordinal, product uint32, name []byte) bool {
		s, grant := t.SlotOf(o), t.Grant(o)
		w := s.License()
		lines = append(lines, fmt.Sprintf("device %d %d/%s %x %x %x %x %x generation %d, %d to %d, %+v", o, product, name,
			s.Message(), s.Denied(), s.OTA(), s.Session(), s.Seen(), w.Generation(), w.State(),
			cat.ProductByID(product).ExpiryS(int64(grant.ActivatedAt)+epochS), grant))
		return true
	})
	return lines
}

// restLines writes catalogue, pools and totals as text.
func restLines(t testing.TB, cat *license.Catalogue, totals *recovery.Totals) (lines []string) {
	err := cat.Records(func(key, value []byte) error {
		lines = append(lines, fmt.Sprintf("record %q %s", key, value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cat.EachPool(func(p *license.Pool) {
		lines = append(lines, fmt.Sprintf("pool %+v", *p))
	}, func(product uint32, drawn uint64) {
		lines = append(lines, fmt.Sprintf("gifts %d %d", product, drawn))
	})
	for _, sum := range totals.All() {
		lines = append(lines, fmt.Sprintf("total %+v", sum))
	}
	return lines
}

// A cut is the state at its group: what the log up to there joins to, whatever is decided while it is made and read.
func TestCutIsTheStateAtItsGroup(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.kill()
		m.kill()
		m.cuts.imageBytes = int64(rapid.SampledFrom([]int{400, 3000, 1 << 20}).Draw(rt, "image_bytes"))
		m.start()
		seed := rapid.Uint64().Draw(rt, "seed")
		m.randomHistory(rand.New(rand.NewPCG(seed, 1)))
		stop := m.traffic(seed)
		var ledger *memStore
		c, err := m.Cut(t.Context(), func(at views.Position) error {
			ledger = m.store.clone()
			if at != m.o.Ledger.Position() {
				t.Errorf("called at %v, the ledger stands at %v", at, m.o.Ledger.Position())
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close()
		got := restLines(t, c.Catalogue, c.Totals)
		ranges := 0
		err = c.Devices(t.Context(), func(table *counters.Table, _, _ int) error {
			got = append(got, deviceLines(table, c.Catalogue)...)
			ranges++
			return nil
		})
		if err != nil || ranges == 1 != (m.cuts.imageBytes == 1<<20) {
			rt.Fatalf("%d ranges, %v", ranges, err)
		}
		stop()
		groups := m.log.snapshot()
		if c.At.Seq > uint64(len(groups)) || groups[c.At.Seq-1].Chain != c.At.Chain {
			rt.Fatalf("the cut is at %v of %d groups", c.At, len(groups))
		}
		for _, g := range groups[c.At.Seq:] {
			if g.FirstMs < c.LastMs {
				rt.Fatalf("group %d was decided at %d, the cut at group %d says %d", g.Seq, g.FirstMs, c.At.Seq, c.LastMs)
			}
		}
		groups = groups[:c.At.Seq]
		if ledger.at.Seq != c.At.Seq || groups[c.At.Seq-1].LastMs > c.LastMs {
			rt.Fatalf("the ledger was read at group %d; %d", ledger.at.Seq, c.LastMs)
		}
		j := newLawJoiner(t, m.options())
		j.bind(groups)
		for i := range groups {
			if err := j.Join(&groups[i]); err != nil {
				rt.Fatal(err)
			}
		}
		cat := j.e.catalogue.Load()
		want := append(restLines(t, cat, j.e.totals), deviceLines(j.e.table, cat)...)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			rt.Fatalf("the cut differs (seed %d):\n%s", seed, diff(strings.Join(want, "\n"), strings.Join(got, "\n")))
		}
		if err := c.Close(); err != nil {
			rt.Fatal(err)
		}
		m.nothingIsHeld()
	})
}

// A view can be pinned at every group that is durable: a cut's checkpoint may reflect the last one.
func TestViewsHaveWhatIsDurable(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.product("q", "{}", 10)
	stop := m.traffic(1)
	defer stop()
	pinned := func() error {
		m.buffers.mu.Lock() // The committer comes to it when the log has a group, and before the views have it.
		defer m.buffers.mu.Unlock()
		before, _, _ := m.log.Last()
		for range 1000 { // Or the sealer comes to it first: then there is no such group.
			if last, _, _ := m.log.Last(); last > before {
				break
			}
			runtime.Gosched()
		}
		durable := m.durableSeq.Load()
		return m.Pin(t.Context(), m.o.Ledger, func() error {
			if at := m.o.Ledger.Position().Seq; at < durable {
				return fmt.Errorf("the ledger was pinned at group %d when %d was durable", at, durable)
			}
			return nil
		})
	}
	for range 100 {
		if err := pinned(); err != nil {
			t.Fatal(err)
		}
	}
}

// traffic sends batches from several gateways, and changes, until stop is called.
func (m *machine) traffic(seed uint64) (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	e := m.Engine
	for i := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, i+10))
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				var b strings.Builder
				for range 1 + r.IntN(20) {
					kind := []string{"connect", "connect", "up", "down", "ota", "disconnect"}[r.IntN(6)]
					b.WriteString(line(kind, []string{"p", "q"}[r.IntN(2)], fmt.Sprint("d", r.IntN(30))))
				}
				if err := e.Submit(request(m.t, b.String())); err != nil {
					m.t.Error(err)
					return
				}
				if i == 0 && n%8 == 0 {
					m.clock.pass(time.Duration(r.IntN(10)) * time.Hour)
				}
				if i == 1 && n%4 == 0 {
					m.credit("q", fmt.Sprint("MORE-", n), 3, r.IntN(2) == 0)
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
	}
}

// nothingIsHeld checks that no cut is open, and that there is one checkpoint at most.
func (m *machine) nothingIsHeld() {
	m.t.Helper()
	entries, err := os.ReadDir(m.dir)
	if err != nil || len(entries) > 1 || m.cutting.keeps() != math.MaxUint64 || len(m.cutting.place) != 1 {
		m.t.Fatalf("%d checkpoints, the log keeps what lies behind %d; %v", len(entries), m.cutting.keeps(), err)
	}
}

func (m *machine) cutNow() *Cut {
	m.t.Helper()
	c, err := m.Cut(m.t.Context(), func(views.Position) error { return nil })
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func readAll(ctx context.Context, c *Cut) (devices int, err error) {
	err = c.Devices(ctx, func(t *counters.Table, _, _ int) error {
		devices += t.Len()
		return nil
	})
	return devices, err
}

// One cut is open at a time: another one waits for it, as long as its caller likes.
func TestSecondCutWaits(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.submit(line("connect", "p", "a"))
	first := m.cutNow()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := m.Cut(ctx, func(views.Position) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	second := make(chan *Cut)
	go func() {
		c, err := m.Cut(t.Context(), func(views.Position) error { return nil })
		if err != nil {
			t.Error(err)
		}
		second <- c
	}()
	m.submit(line("connect", "p", "b"))
	if n, err := readAll(t.Context(), first); err != nil || n != 1 {
		t.Fatalf("%d devices, %v", n, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c := <-second
	if n, err := readAll(t.Context(), c); err != nil || n != 2 {
		t.Fatalf("%d devices, %v", n, err)
	}
	if _, err := readAll(t.Context(), first); !errors.Is(err, ErrCutClosed) {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	m.nothingIsHeld()
}

// Whatever ends a cut, nothing stays held: an error of who reads, a cancelled context, its time, a full disk, a ledger
// that cannot be pinned.
func TestCutEnds(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.submit(line("connect", "p", "a"))
	boom := errors.New("boom")
	if _, err := m.Cut(t.Context(), func(views.Position) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	m.nothingIsHeld()

	c := m.cutNow()
	if err := c.Devices(t.Context(), func(*counters.Table, int, int) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readAll(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.disk.full.Store(true)
	if _, err := readAll(t.Context(), c); !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Cut(t.Context(), func(views.Position) error { return nil }); !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	m.disk.full.Store(false)
	m.nothingIsHeld()

	m.kill()
	m.cuts.open = time.Nanosecond
	m.start()
	if _, err := m.Cut(t.Context(), func(views.Position) error { return nil }); !errors.Is(err, ErrCutTooLong) {
		t.Fatal(err)
	}
	m.nothingIsHeld()
	m.kill()
	m.cuts.open = 0
	m.start()
	if n, err := readAll(t.Context(), m.cutNow()); err != nil || n != 1 {
		t.Fatalf("%d devices, %v", n, err)
	}
}

// A cut that is closed while it is made is closed when the making has ended, not before: nothing stays held.
func TestCutIsClosedWhileItIsMade(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.submit(line("connect", "p", "a"))
	<-m.cutting.place
	c := m.newCut()
	closed := make(chan error)
	err := c.make(t.Context(), func(views.Position) error {
		go func() { closed <- c.Close() }()
		<-c.ctx.Done()
		if c.reading.TryLock() {
			c.reading.Unlock()
			t.Error("it is closed while it is made")
		}
		return nil
	})
	if !errors.Is(err, ErrCutClosed) {
		t.Error(err)
	}
	if err := errors.Join(<-closed, c.Close()); err != nil {
		t.Fatal(err)
	}
	m.nothingIsHeld()
}

// A cut that was closed before it is made holds nothing.
func TestClosedCutIsNotMade(t *testing.T) {
	m := newMachine(t)
	<-m.cutting.place
	c := m.newCut()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	err := c.make(t.Context(), func(views.Position) error { return nil })
	if held, readErr := os.ReadDir(m.dir); !errors.Is(err, ErrCutClosed) || readErr != nil || len(held) > 0 {
		t.Fatalf("%v; %d checkpoints, %v", err, len(held), readErr)
	}
	m.nothingIsHeld()
}

// The engine that stops or fails ends the cut that is open, and Close of the engine waits until it has ended.
func TestCutEndsWithTheEngine(t *testing.T) {
	for _, end := range []func(*machine) error{
		func(m *machine) error { return m.Close() },
		func(m *machine) error { m.kill(); return nil },
	} {
		m := newMachine(t)
		m.product("p", "{}", 10)
		m.submit(line("connect", "p", "a"))
		c := m.cutNow()
		inside, ended := make(chan struct{}), make(chan error)
		go func() {
			ended <- c.Devices(t.Context(), func(*counters.Table, int, int) error {
				close(inside)
				<-c.ctx.Done()
				return nil
			})
		}()
		<-inside
		e := m.Engine
		if err := end(m); err != nil {
			t.Fatal(err)
		}
		m.Engine = nil
		if err := <-ended; err != nil && !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		if _, err := readAll(t.Context(), c); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Cut(t.Context(), func(views.Position) error { return nil }); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	}
}

// A crash within a cut leaves nothing behind: the next checkpoint removes the one that was held.
func TestCrashWithinACut(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.submit(line("connect", "p", "a"))
	m.cutNow()
	m.submit(line("connect", "p", "b"))
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	held, err := os.ReadDir(m.dir)
	if err != nil || len(held) != 2 {
		t.Fatalf("%d checkpoints, %v", len(held), err)
	}
	image := map[string][]byte{} // Killing lets go of the checkpoint in an orderly way; a crash does not.
	for _, e := range held {
		if image[e.Name()], err = os.ReadFile(filepath.Join(m.dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	m.kill()
	for name, content := range image {
		if err := os.WriteFile(filepath.Join(m.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.start()
	for _, device := range []string{"a", "b"} {
		if d, ok := m.device("p", device); !ok || !d.Active {
			t.Fatalf("device %s is %+v", device, d)
		}
	}
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.nothingIsHeld()
}

// While a cut is open the log keeps what lies behind its checkpoint, however many checkpoints are made meanwhile; when
// it is closed the log may let go of it.
func TestLogIsHeldForACut(t *testing.T) {
	m := newMachine(t)
	m.kill()
	m.log.released = make(chan uint64)
	o := m.options()
	o.CheckpointEvery = time.Millisecond
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m.Engine = e
	m.product("p", "{}", 1000)
	c := m.cutNow()
	held := m.cutting.keeps()
	n := 0
	more := func() {
		n++
		m.submit(line("connect", "p", fmt.Sprint("d", n)))
		if err := m.DurableInLedger(); err != nil {
			t.Fatal(err)
		}
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	<-m.log.released // It may have been computed before the cut.
	for range 5 {
		more()
		if passed := <-m.log.released; passed > held {
			t.Fatalf("the log may let go of group %d, a cut needs those behind %d", passed, held)
		}
	}
	if n, err := readAll(t.Context(), c); err != nil || n != 0 {
		t.Fatalf("%d devices, %v", n, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for more(); <-m.log.released <= held; {
		more()
	}
}
