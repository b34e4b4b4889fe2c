package rawlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// productOne is whose all devices of tests are.
type productOne struct{}

func (productOne) Name(counters.Ordinal) (uint32, []byte) { return 1, nil }

// rig is a view of a real log.
type rig struct {
	t     *testing.T
	log   *commitlog.Log
	store *archive.Store
	view  *View
	dice  *rand.Rand
	pack  *record.Compressor
	nowMs int64
	seq   uint64
	sent  []string // topics of device 7's events, in order
}

const retention = 7 * 24 * time.Hour

func newRig(t *testing.T) *rig {
	r := &rig{
		t: t, dice: rand.New(rand.NewPCG(1, 2)), nowMs: time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
	}
	dir := t.TempDir()
	var err error
	r.log, err = commitlog.Open(commitlog.Options{
		Path: dir + "/log", Retention: retention, Archived: true, SegmentBytes: commitlog.SegmentBytesMin,
	})
	r.must(err)
	r.store, err = archive.Open(archive.Options{Path: dir + "/archive", Retention: retention})
	r.must(err)
	r.view, err = New(Options{Store: r.store, Log: r.log, Retention: retention})
	r.must(err)
	r.pack, err = record.NewCompressor(1)
	r.must(err)
	t.Cleanup(func() { r.must(r.view.Close()); r.must(r.log.Close()) })
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// knownIn is the group in which device 7 becomes known, between two events of one millisecond.
const knownIn = 20

// append logs a group: some of its events are device 7's, before it is known under its name.
func (r *rig) append(changes ...[]byte) {
	r.t.Helper()
	r.seq++
	g := commitlog.Group{Seq: r.seq, FirstMs: r.nowMs}
	var b record.Builder
	for range 3 {
		b.BeginBatch(r.nowMs, 0)
		for range 1 + r.dice.IntN(4) {
			topic := fmt.Appendf(nil, "event %d.%d", r.seq, b.Rows())
			payload := make([]byte, r.dice.IntN(300))
			for i := range payload {
				payload[i] = byte(r.dice.Uint32())
			}
			ordinal := uint64(r.dice.IntN(3)) + 6
			if r.seq == knownIn {
				ordinal = 7
			}
			switch {
			case ordinal == 7 && (r.seq < knownIn || r.seq == knownIn && b.Rows() < 2):
				b.Stranger(event.Up, event.NotActivated, 1, []byte("seven"), 1)
				r.sent = append(r.sent, string(topic))
			default:
				if ordinal == 7 {
					r.sent = append(r.sent, string(topic))
				}
				b.Message(event.Up, ordinal, 1, 100, uint32(r.seq), uint32(b.Rows()))
			}
			b.Attach(&record.Extras{Topic: topic, Payload: payload})
		}
		if step := r.dice.Int64N(2); r.seq != knownIn {
			r.nowMs += step // Often groups share a millisecond.
		}
	}
	g.LastMs = max(g.FirstMs, r.nowMs-1)
	head := record.Head{Changes: changes}
	g.Head, g.Chunks = head.Append(nil), [][]byte{r.pack.Compress(nil, b.Finish(nil))}
	g.LastMs = max(g.LastMs, r.nowMs)
	r.must(r.log.Append(&g))
}

func (r *rig) query() Query {
	return Query{
		Product: 1, Device: []byte("seven"), Known: true, Ordinal: 7, LogDays: 7,
		Filter: Filter{ToMs: r.nowMs + 1, NowMs: r.nowMs},
	}
}

// proves that the device's events are those that were sent, in both directions, page by page.
func (r *rig) proves(stage string) {
	r.t.Helper()
	for _, oldest := range []bool{false, true} {
		want := slices.Clone(r.sent)
		if !oldest {
			slices.Reverse(want)
		}
		for _, page := range []int{5, 1 << 20} {
			q := r.query()
			q.Oldest = oldest
			var have []string
			for more := true; more; {
				more = false
				n := 0
				r.must(r.view.DeviceLog(r.t.Context(), q, func(row *Row) bool {
					if n == page {
						more = true
						return false
					}
					n++
					have = append(have, string(row.Topic))
					q.After = row.Place()
					return true
				}))
			}
			if !slices.Equal(have, want) {
				r.t.Fatalf("%s, oldest first %v, pages of %d:\n have %q\n want %q", stage, oldest, page, have, want)
			}
		}
	}
}

// stages logs groups and has look look at them wherever they are.
func (r *rig) stages(look func(stage string)) {
	r.t.Helper()
	follow := func(seq uint64) { r.must(r.view.Follow(r.t.Context(), seq, productOne{})) }
	for range 30 {
		r.append()
	}
	look("in the log")
	follow(17)
	look("some in memory")
	follow(30)
	look("all in memory")
	r.must(r.store.WriteRun())
	look("all in a run")
	r.must(r.log.Release(r.nowMs, r.view.Position().Seq))
	look("all in a run, segments gone")
	for range 30 {
		r.append()
	}
	follow(45)
	look("in a run, in memory, in the log")
	r.must(r.store.WriteRun())
	follow(60)
	look("in runs and in memory")
	r.must(r.store.WriteRun())
	r.must(r.log.Release(r.nowMs, r.view.Position().Seq))
	look("in three runs")
}

// TestEventsWhereverTheyAre: in the log, in memory, in a directory, in all of them, after the segments have gone; the
// places stay the same.
func TestEventsWhereverTheyAre(t *testing.T) {
	r := newRig(t)
	var places [][]Place
	look := func(stage string) {
		t.Helper()
		r.proves(stage)
		q, list := r.query(), []Place(nil)
		q.Oldest = true
		r.must(r.view.DeviceLog(t.Context(), q, func(row *Row) bool {
			list = append(list, row.Place())
			return true
		}))
		places = append(places, list)
	}
	r.stages(look)
	if first := r.log.First(); first < 30 {
		t.Errorf("the log still begins with group %d", first)
	}
	for i, list := range places {
		if n := min(len(list), len(places[0])); !slices.Equal(list[:n], places[0][:n]) {
			t.Errorf("places at look %d: %v, at first %v", i, list[:n], places[0][:n])
		}
	}
}

// TestLogDaysOfThePlan: a row is kept for as long as the plan said under which it was decided, to the second (R18).
func TestLogDaysOfThePlan(t *testing.T) {
	r := newRig(t)
	plan := func(seq uint64, days int) []byte {
		ch := license.Change{Seq: seq, Puts: []license.Put{{
			Key: []byte{'P', 0, 0, 0, 1}, Value: fmt.Appendf(nil, `{"plan":{"validity":"P1D","log_days":%d}}`, days),
		}}}
		return ch.Append(nil)
	}
	var counts []int                                                      // of each group
	for _, changes := range [][][]byte{{plan(1, 1)}, {plan(2, 3)}, nil} { // A group's changes hold behind it.
		had := len(r.sent)
		for len(r.sent) == had {
			r.append(changes...)
			changes = nil
		}
		counts = append(counts, len(r.sent)-had)
		r.nowMs += 1000
	}
	r.must(r.view.Follow(t.Context(), r.seq, productOne{}))
	const dayMs = 24 * 3600 * 1000
	began, ended := r.nowMs-3000-100, r.nowMs
	for range 2 {
		for _, x := range []struct {
			nowMs int64
			want  int
		}{
			{began + dayMs, counts[0] + counts[1] + counts[2]},
			{ended + dayMs, counts[0] + counts[2]},
			{began + 3*dayMs, counts[0] + counts[2]},
			{ended + 3*dayMs, counts[0]},
			{began + 7*dayMs, counts[0]}, // No plan was known: the retention.
			{ended + 7*dayMs, 0},
		} {
			q, got := r.query(), 0
			q.NowMs = x.nowMs
			r.must(r.view.DeviceLog(t.Context(), q, func(*Row) bool {
				got++
				return true
			}))
			if got != x.want {
				t.Errorf("%d ms after the last event: %d rows, want %d of %v", x.nowMs-ended, got, x.want, counts)
			}
		}
		if r.store.Position().Seq < r.seq {
			r.must(r.store.WriteRun())
		}
	}
}
