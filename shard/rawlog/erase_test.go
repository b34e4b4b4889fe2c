package rawlog

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/license"
)

// office is an administration whose changes are durable or not.
type office struct {
	t         *testing.T
	c         *license.Catalogue
	isStopped bool
}

func (o *office) Catalogue() *license.Catalogue { return o.c }

func (o *office) Durable() error {
	if o.isStopped {
		return errors.New("it has stopped")
	}
	return nil
}

func newOffice(t *testing.T) *office {
	c, _, _, err := license.New("default", retention).CreateAccount(license.Actor{}, "acme", license.Enterprise, "")
	if err == nil {
		c, _, _, err = c.CreateProduct(license.Actor{}, license.ProductSpec{Name: "p1", Account: "acme", Zone: "UTC"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &office{t: t, c: c}
}

// erase erases the log of device 7.
func (o *office) erase(atMs int64) {
	o.t.Helper()
	next, _, _, err := o.c.EraseLog(license.Actor{AtMs: atMs}, "p1", "seven", true, 7)
	if err != nil {
		o.t.Fatal(err)
	}
	o.c = next
}

// topics returns the topics of device 7's events, oldest first, "" for those without. No entry has one of topic and
// payload alone that is erased.
func (r *rig) topics(q Query) (list []string) {
	r.t.Helper()
	r.must(r.view.DeviceLog(r.t.Context(), q, func(row *Row) bool {
		if len(row.Topic) == 0 && len(row.Payload) > 0 {
			r.t.Error("a payload is shown, and its topic is not")
		}
		list = append(list, string(row.Topic))
		return true
	}))
	if !q.Oldest {
		slices.Reverse(list)
	}
	return list
}

// TestErasedWhereverItIs: topics and payloads are hidden at once in the log, in memory, in directories; from a page
// whose cursor was given before, too. What is decided later, and other devices, are shown.
func TestErasedWhereverItIs(t *testing.T) {
	for _, stage := range []string{"in the log", "some in memory", "in memory", "in a run", "in a run and the log"} {
		t.Run(stage, func(t *testing.T) {
			r, o := newRig(t), newOffice(t)
			r.view.SetAdministration(o)
			for range 30 {
				r.append()
			}
			switch stage {
			case "some in memory":
				r.must(r.view.Follow(t.Context(), 13, productOne{}))
			case "in memory":
				r.must(r.view.Follow(t.Context(), 30, productOne{}))
			case "in a run":
				r.must(r.view.Follow(t.Context(), 30, productOne{}))
				r.must(r.store.WriteRun())
			case "in a run and the log":
				r.must(r.view.Follow(t.Context(), 13, productOne{}))
				r.must(r.store.WriteRun())
			}
			want := slices.Clone(r.sent)
			page := r.query()
			r.must(r.view.DeviceLog(t.Context(), page, func(row *Row) bool {
				page.After = row.Place()
				return false
			}))
			o.erase(r.nowMs)
			erased := len(r.sent)
			r.nowMs++
			for len(r.sent) == erased {
				r.append()
			}
			for i := range want {
				want[i] = ""
			}
			want = append(want, r.sent[erased:]...)
			for _, oldest := range []bool{true, false} {
				q := r.query()
				q.Oldest = oldest
				if got := r.topics(q); !slices.Equal(got, want) {
					t.Errorf("oldest first %t:\n have %q\n want %q", oldest, got, want)
				}
			}
			if got := r.topics(page); !slices.Equal(got, want[:erased-1]) {
				t.Errorf("a page behind a cursor of before: %q", got)
			}
			q := r.query()
			q.Device, q.Ordinal = []byte("eight"), 8
			if others := r.topics(q); len(others) == 0 || slices.Contains(others, "") {
				t.Errorf("another device's: %q", others)
			}
			// What is archived from now on has nothing of it, whoever reads.
			r.must(r.view.Follow(t.Context(), r.seq, productOne{}))
			r.must(r.view.writeRun())
			r.view.SetAdministration(newOffice(t))
			got := r.topics(r.query())
			if stage != "in a run" && stage != "in a run and the log" && !slices.Equal(got, want) {
				t.Errorf("archived:\n have %q\n want %q", got, want)
			}
		})
	}
}

// TestEraseLearnsWhatIsDurable: the archive writes by what no crash takes back, since numbers of changes are given
// again.
func TestEraseLearnsWhatIsDurable(t *testing.T) {
	r, o := newRig(t), newOffice(t)
	r.append()
	r.must(r.view.Follow(t.Context(), 1, productOne{}))
	if r.view.ErasedThrough() != 0 || r.view.LogEraseDue(1<<50) != 0 || r.view.Erasures() != nil {
		t.Error("nobody has said what is erased")
	}
	r.view.SetAdministration(o)
	o.isStopped = true
	o.erase(r.nowMs)
	if got := r.view.LogEraseDue(1 << 50); got != 0 {
		t.Errorf("change %d is not durable", got)
	}
	o.isStopped = false
	seq := o.c.ErasuresSeq()
	if got := r.view.LogEraseDue(1 << 50); got != seq {
		t.Errorf("change %d is due, want %d", got, seq)
	}
	r.view.MustReach(1)
	r.must(r.view.Follow(t.Context(), 1, productOne{}))
	if at := r.view.Position().Seq; at != 1 {
		t.Errorf("the archive is at group %d", at)
	}
	r.must(r.view.LogErased(seq, r.nowMs))
	if through := r.view.ErasedThrough(); through != seq {
		t.Errorf("erased through change %d of %d", through, seq)
	}
	now := func() int64 { return r.nowMs + 5000 }
	r.view.now.Store(&now)
	if n, oldestMs := r.view.erasuresPending(); n != 0 || oldestMs != 0 || r.view.erasureAge() != 0 {
		t.Errorf("%d erasures are pending, since %d, for %s", n, oldestMs, r.view.erasureAge())
	}
	o.erase(r.nowMs)
	if n, oldestMs := r.view.erasuresPending(); n != 1 || oldestMs != r.nowMs || r.view.erasureAge() != 5*time.Second {
		t.Errorf("%d erasures are pending, since %d, for %s", n, oldestMs, r.view.erasureAge())
	}
}
