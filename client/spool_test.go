package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/client/spool"
	"github.com/meterd/meterd/event"
)

// mortal is the network of one process: what a process that was killed sends arrives nowhere.
type mortal struct {
	f      http.RoundTripper
	isDead atomic.Bool
}

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.isDead.Load() {
		return nil, errNobody
	}
	return m.f.RoundTrip(r)
}

// life is one process of a gateway.
type life struct {
	*Client
	net     *mortal
	pending map[string]map[int64]*Pending // device → size
}

func newLife(t *testing.T, f http.RoundTripper, dir string, change func(*Options)) *life {
	t.Helper()
	l := &life{net: &mortal{f: f}, pending: map[string]map[int64]*Pending{}}
	l.Client = newTestClient(t, nil, func(o *Options) {
		o.OnUnavailable, o.Spool.Dir = FailOpen, dir
		o.SpoolFault = func(err error) { t.Errorf("the spool: %v", err) }
		if change != nil {
			change(o)
		}
		o.HTTPClient = &http.Client{Transport: l.net}
	})
	return l
}

// kill ends a life as kill -9 does: nothing more arrives, and its directory stays as it was at this instant, in a copy
// that the next life gets. told is what callers were told up to now.
func (l *life) kill(t *testing.T, told map[string]map[int64]told) (dir string) {
	t.Helper()
	synctest.Wait()
	l.net.isDead.Store(true)
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(l.opts.Spool.Dir)); err != nil {
		t.Fatal(err)
	}
	l.hear(t, told)
	if conn := l.stream.current(); conn != nil {
		conn.end(errCut) // From here on it is another instant.
	}
	return dir
}

// bury stops a life that was killed. Whatever it still says is not heard.
func (l *life) bury() {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.Close(done)
}

func owedFiles(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.owed"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// What passed in an outage is reported by the next process, in its order, before the call that says that it starts; the
// files go with the answers.
func TestNextProcessReports(t *testing.T) {
	for _, transport := range []Transport{OverHTTP, OverStream} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutage()
			change := func(opts *Options) { opts.InFlightMax, opts.Transport = 2, transport }
			first := newLife(t, o, t.TempDir(), change)
			mustPass(t, first.Client, up("d1", 1), false)
			o.goDown(cut)
			for i := range 3 {
				mustPass(t, first.Client, Event{Type: event.Connect, Product: "p1", Device: "d1"}, true)
				mustPass(t, first.Client, up("d1", int64(i+2)), true)
			}
			o.mu.Lock()
			inDoubt := o.requests[len(o.requests)-1]
			o.mu.Unlock()
			dir := first.kill(t, nil)
			defer first.bury()
			reported := 0
			second := newLife(t, o, dir, func(opts *Options) {
				opts.InFlightMax, opts.Transport = 5, transport
				opts.Reported = func(Event, Verdict) { reported++ }
			})
			if s := second.Stats(); s.Unasked != 6 || s.SpoolBytes == 0 {
				t.Errorf("left are %+v", s)
			}
			if _, err := second.Offline(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("in the outage: %v", err)
			}
			if _, err := os.ReadFile(filepath.Join(dir, "LOCK")); err != nil {
				t.Error(err)
			}
			o.goDown(nil)
			from := o.count()
			if _, err := second.Offline(t.Context()); err != nil {
				t.Error(err)
			}
			want := []string{"connect", "up 2", "connect", "up 3", "connect", "up 4", "offline"}
			if got := o.heard(from); !slices.Equal(got, want) {
				t.Errorf("heard %q, want %q", got, want)
			}
			if r := o.requests[from]; r.sequence != inDoubt.sequence || r.body != inDoubt.body {
				t.Errorf("sent again as %+v, first as %+v", r, inDoubt)
			}
			mustPass(t, second.Client, up("d1", 5), false)
			s := second.Stats()
			if n := owedFiles(t, dir); n != 0 || s.Unasked != 0 || s.SpoolBytes != 0 || reported != 6 || s.Ambiguous != 0 {
				t.Errorf("%d files are left, %d were reported, %+v", n, reported, s)
			}
			closeClient(t, second.Client)
		})
	}
}

// A process that only restarts reports by itself what is left, and Close leaves to the next one what it cannot report.
func TestCloseLeavesTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		dir := t.TempDir()
		first := newLife(t, o, dir, nil)
		o.goDown(refused)
		mustPass(t, first.Client, up("d1", 1), true)
		mustPass(t, first.Client, up("d1", 2), true)
		closeClient(t, first.Client)
		if s := first.Stats(); s.Unasked != 2 || s.UnaskedLost != 0 || s.Ambiguous != 0 {
			t.Errorf("%+v", s)
		}
		o.goDown(nil)
		from := o.count()
		second := newLife(t, o, dir, nil)
		time.Sleep(time.Second)
		if got := o.heard(from); !slices.Equal(got, []string{"up 1", "up 2"}) {
			t.Errorf("heard %q", got)
		}
		closeClient(t, second.Client)
	})
}

// While meterd answers nothing is written.
func TestSpoolIsUntouchedInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := newLife(t, &fakeMeterd{}, dir, nil)
		for i := range 100 {
			mustPass(t, l.Client, up(fmt.Sprint("d", i%7), int64(i+1)), false)
		}
		closeClient(t, l.Client)
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) != 1 {
			t.Errorf("%q, %v", names, err)
		}
	})
}

// What the spool cannot keep does not pass, whether it is full or cannot be written, and somebody is told once.
func TestSpoolThatCannotKeep(t *testing.T) {
	for _, how := range []string{"full", "gone"} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutage()
			var faults []string
			dir := filepath.Join(t.TempDir(), "spool")
			c := newLife(t, o, dir, func(opts *Options) {
				opts.InFlightMax = 1
				opts.SpoolFault = func(err error) { faults = append(faults, err.Error()) }
				if how == "full" {
					opts.Spool.BytesMax = 2000
				}
			}).Client
			mustPass(t, c, up("d1", 1), false)
			o.goDown(refused)
			if how == "gone" {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			passed := 0
			for i := range 100 {
				v, err := c.Decide(t.Context(), up("d1", int64(i+2)))
				var unavailable *UnavailableError
				switch {
				case err == nil && v.Unasked:
					passed++
				case !errors.As(err, &unavailable) || unavailable.Ambiguous || !errors.Is(err, errNotKept):
					t.Fatalf("%+v, %v", v, err)
				}
			}
			if passed == 100 || (passed == 0) != (how == "gone") {
				t.Errorf("%s: %d passed", how, passed)
			}
			if len(faults) != 1 || c.Stats().SpoolFaults != 1 || c.Stats().UnaskedLost != 0 {
				t.Errorf("%s: told %q, %+v", how, faults, c.Stats())
			}
			o.goDown(nil)
			time.Sleep(2 * probeEveryMax)
			if n := len(o.fakeMeterd.sizes()["d1"]); n < passed+1 {
				t.Errorf("%s: %d passed, heard %d", how, passed, n)
			}
			closeClient(t, c)
		})
	}
}

// A spool that is nearly full keeps of one batch what is small and refuses what is large: somebody is told once.
func TestNearlyFullSpoolIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		var faults []string
		c := newLife(t, o, filepath.Join(t.TempDir(), "spool"), func(opts *Options) {
			opts.SpoolFault = func(err error) { faults = append(faults, err.Error()) }
			opts.Spool.BytesMax, opts.InFlightMax = 2000, 1
		}).Client
		o.goDown(refused)
		long := strings.Repeat("n", 64)
		events := make([]Event, 100)
		for i := range events {
			if events[i] = up("d1", 1); i%2 == 0 {
				events[i].Product, events[i].Device, events[i].ID = long, long, long
			}
		}
		again, hasFailed := false, false // Something was kept behind what was not.
		for _, r := range c.Submit(t.Context(), events) {
			hasFailed = hasFailed || r.Err != nil
			again = again || hasFailed && r.Err == nil
		}
		if !again || len(faults) != 1 || faults[0] != spool.ErrFull.Error() || c.Stats().SpoolFaults != 1 {
			t.Errorf("kept again: %t, told %q", again, faults)
		}
		o.goDown(nil)
		time.Sleep(2 * probeEveryMax)
		closeClient(t, c)
	})
}

// In doubt and not to be kept is Ambiguous, as failing closed.
func TestDoubtThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		dir := filepath.Join(t.TempDir(), "spool")
		c := newLife(t, o, dir, func(opts *Options) { opts.SpoolFault = nil }).Client
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		o.goDown(cut)
		var unavailable *UnavailableError
		if v, err := c.Decide(t.Context(), up("d1", 1)); !errors.As(err, &unavailable) || !unavailable.Ambiguous {
			t.Errorf("%+v, %v", v, err)
		}
		if s := c.Stats(); s.Ambiguous != 1 || s.Unasked != 0 || s.SpoolFaults != 1 {
			t.Errorf("%+v", s)
		}
		o.goDown(nil)
		time.Sleep(2 * probeEveryMax)
		mustPass(t, c, up("d1", 2), false)
		closeClient(t, c)
	})
}

// A batch in doubt whose sequence meterd has forgotten is not counted twice: what may not be repeated is given up.
func TestDoubtThatIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		first := newLife(t, o, t.TempDir(), func(opts *Options) { opts.InFlightMax = 1 })
		o.goDown(cut)
		first.Submit(t.Context(), []Event{{Type: event.Connect, Product: "p1", Device: "d1"}, up("d1", 1)})
		mustPass(t, first.Client, up("d1", 2), true)
		dir := first.kill(t, nil)
		defer first.bury()
		time.Sleep(sequenceKeptFor)
		o.mu.Lock()
		gone := o.requests[0].sequence
		o.mu.Unlock()
		o.goDown(nil)
		o.answer = func(_ int, r request) (*http.Response, error) {
			if r.sequence == gone {
				return respond(409, `{"code":"sequence_too_old"}`), nil
			}
			return acceptAll(r), nil
		}
		from := o.count()
		second := newLife(t, o, dir, func(opts *Options) { opts.ProducerShared = func(err error) { t.Error(err) } })
		time.Sleep(time.Minute)
		mustPass(t, second.Client, up("d1", 3), false)
		if got := o.heard(from); !slices.Equal(got[len(got)-3:], []string{"connect", "up 2", "up 3"}) {
			t.Errorf("heard %q", got)
		}
		if s := second.Stats(); s.Ambiguous != 1 || s.Unasked != 0 {
			t.Errorf("%+v", s)
		}
		closeClient(t, second.Client)
	})
}

// A file that is damaged is told and left out; the others are reported.
func TestDamagedSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		first := newLife(t, o, t.TempDir(), func(opts *Options) { opts.BatchEventsMax, opts.InFlightMax = 1, 1 })
		mustPass(t, first.Client, up("d1", 1), false)
		o.goDown(refused)
		for i := range 3 {
			mustPass(t, first.Client, up("d1", int64(i+2)), true)
		}
		dir := first.kill(t, nil)
		defer first.bury()
		names, _ := filepath.Glob(filepath.Join(dir, "*.owed"))
		if len(names) != 3 {
			t.Fatalf("%q", names)
		}
		raw, err := os.ReadFile(names[1])
		if err != nil {
			t.Fatal(err)
		}
		raw[20] ^= 1
		if err := os.WriteFile(names[1], raw, 0o600); err != nil {
			t.Fatal(err)
		}
		o.goDown(nil)
		var faults []string
		second := newLife(t, o, dir, func(opts *Options) {
			opts.SpoolFault = func(err error) { faults = append(faults, err.Error()) }
		})
		time.Sleep(time.Second)
		if got := o.fakeMeterd.sizes()["d1"]; got[len(got)-1] != 4 || slices.Contains(got[len(got)-2:], 3) {
			t.Errorf("heard %d", got)
		}
		if len(faults) != 1 || !strings.Contains(faults[0], names[1]+".damaged") || owedFiles(t, dir) != 0 {
			t.Errorf("told %q, %d files are left", faults, owedFiles(t, dir))
		}
		closeClient(t, second.Client)
	})
}

func TestSpoolOptions(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, &fakeMeterd{}, dir, nil)
	for want, change := range map[string]func(*Options){
		"in use":         nil,
		"Spool.BytesMax": func(o *Options) { o.Spool.BytesMax = -1 },
	} {
		o := Options{URL: "http://meterd.test", Producer: "gw-1", Spool: Spool{Dir: dir}}
		if change != nil {
			change(&o)
		}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	closeClient(t, l.Client)
}
