package rawlog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/archive"
)

// another is the archive of another rig.
type another struct{ r *rig }

func (a another) Manifest(context.Context) ([]byte, error) { return a.r.store.Manifest(), nil }

func (a another) Directory(_ context.Context, sum archive.Sum) (io.ReadCloser, error) {
	var b bytes.Buffer
	err := a.r.store.Send(sum, &b)
	return io.NopCloser(&b), err
}

// TestFollowingAnArchive: a standby gathers nothing while the owner's archive can be had, and archives by itself when
// the disk runs short, when what is erased must go, when too much waits, and when it is the owner. Each event is there
// once, wherever it is.
func TestFollowingAnArchive(t *testing.T) {
	owner, r := newRig(t), newRig(t)
	groups := func(n int) {
		for range n {
			owner.append()
			r.append()
		}
		owner.must(owner.view.Follow(t.Context(), owner.seq, productOne{}))
		owner.must(owner.store.WriteRun())
		r.must(r.view.Follow(t.Context(), r.seq, productOne{}))
	}
	at := func(what string, position, gathered uint64) {
		t.Helper()
		if p, g := r.store.Position().Seq, r.store.Gathered().Seq; p != position || g != gathered {
			t.Fatalf("%s: archived are groups up to %d, gathered up to %d, not %d and %d", what, p, g, position, gathered)
		}
		r.proves(what)
	}
	r.view.SetSource(another{owner})
	groups(30)
	at("nothing is copied yet", 0, 0)
	r.view.told.Store(29)
	r.view.adopt(t.Context(), r.nowMs)
	at("the owner's archive is beyond what the views were told", 0, 0)
	r.view.told.Store(30)
	r.view.adopt(t.Context(), r.nowMs)
	at("the owner's archive is here", 30, 30)
	groups(10)
	at("the owner has more", 30, 30)

	r.store.MustReach(35)
	r.must(r.view.Follow(t.Context(), r.seq, productOne{}))
	at("what is erased must go", 35, 35)
	owner.append()
	r.append()
	r.view.adopt(t.Context(), r.nowMs)
	at("the owner has that, too", 40, 40)
	r.must(r.log.Release(r.nowMs, r.store.Position().Seq))

	r.view.behind = 0
	groups(5)
	at("too much waits", 40, 46)
	r.view.behind = behindBytes
	groups(5)
	at("and no more", 40, 46)
	r.view.adopt(t.Context(), r.nowMs)
	at("what was gathered goes", 51, 51)

	low := false
	r.view.gather.Store(&pace{rows: func() uint64 { return 0 }, low: func() bool { return low }})
	groups(5)
	at("there is room", 51, 51)
	low = true
	groups(5)
	at("the disk runs short", 51, 61)
	low = false

	r.view.SetSource(nil)
	groups(5)
	r.view.adopt(t.Context(), r.nowMs)
	at("it is the owner", 51, 66)
	if x := r.store.Stats(); x.RunsWritten != 1 || x.Adoptions != 3 {
		t.Errorf("%+v", x)
	}
}

// TestAnotherHistory: an archive of another log is not adopted.
func TestAnotherHistory(t *testing.T) {
	owner, r := newRig(t), newRig(t)
	owner.dice.Uint64()
	for range 10 {
		owner.append()
		r.append()
	}
	owner.must(owner.view.Follow(t.Context(), owner.seq, productOne{}))
	owner.must(owner.store.WriteRun())
	r.view.SetSource(another{owner})
	r.must(r.view.Follow(t.Context(), r.seq, productOne{}))
	if _, err := r.view.fits(owner.store.Position()); !errors.Is(err, errNoFit) {
		t.Errorf("it fits: %v", err)
	}
	r.view.adopt(t.Context(), r.nowMs)
	if r.store.Position().Seq != 0 || r.view.lacks != 1 {
		t.Errorf("it was adopted")
	}
}

// broken is an archive that cannot be copied.
type broken struct{}

func (broken) Manifest(context.Context) ([]byte, error) { return nil, errors.New("it is too slow") }

func (broken) Directory(context.Context, archive.Sum) (io.ReadCloser, error) { return nil, io.EOF }

// TestLackIsTold: that nothing is copied is said when it has lasted, again after an hour, and that it is over.
func TestLackIsTold(t *testing.T) {
	owner, r := newRig(t), newRig(t)
	var said strings.Builder
	r.view.o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	wants := func(what string, warnings, ends int) {
		t.Helper()
		if w, e := strings.Count(
			said.String(),
			"is not copied",
		), strings.Count(
			said.String(),
			"owner again",
		); w != warnings ||
			e != ends {
			t.Fatalf("%s: %s", what, said.String())
		}
	}
	for range 10 {
		owner.append()
		r.append()
	}
	owner.must(owner.view.Follow(t.Context(), owner.seq, productOne{}))
	owner.must(owner.store.WriteRun())
	r.view.SetSource(broken{})
	r.must(r.view.Follow(t.Context(), r.seq, productOne{}))
	r.view.told.Store(10)
	for range lacksTold - 1 {
		r.view.adopt(t.Context(), r.nowMs)
	}
	wants("an owner that has just died", 0, 0)
	r.view.adopt(t.Context(), r.nowMs)
	wants("it has lasted", 1, 0)
	r.view.tellLack(io.EOF, r.view.lacksTold.Add(lacksEvery-1))
	wants("it was said", 1, 0)
	r.view.tellLack(io.EOF, r.view.lacksTold.Add(lacksEvery))
	wants("an hour later", 2, 0)
	r.view.SetSource(another{owner})
	r.view.adopt(t.Context(), r.nowMs)
	wants("it is over", 2, 1)
	r.view.adopt(t.Context(), r.nowMs)
	wants("it was over", 2, 1)
}
