package claims

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// replay hands bindings to what a test does with them.
type replay struct {
	producer  func(record.Producer)
	forgotten func(uint32)
}

func (r replay) Device(record.Device) error { return nil }

func (r replay) Producer(p record.Producer) error {
	r.producer(p)
	return nil
}

func (r replay) Forgotten(n uint32) error {
	r.forgotten(n)
	return nil
}

// life is a random life of Producers: what they record, group by group, and checkpoints.
type life struct {
	*rapid.T
	ps      *Producers
	b       record.Builder
	claims  []record.Claim
	groups  []lifeGroup // the last one is open
	nowMs   int64
	sweeps  []uint32
	swept   bool
	next    uint64
	began   int // groups before it are what the checkpoint has for certain
	pieces  [][]byte
	answers map[string][]byte // what the ledger has
	seen    map[uint32]int64  // when the producer of an ordinal was last seen
}

type lifeGroup struct {
	chunk  []byte
	claims []record.Claim
	lastMs int64
}

// seal ends the open group.
func (l *life) seal() {
	l.groups = append(l.groups, lifeGroup{l.b.Finish(nil), l.claims, l.nowMs})
	l.claims = nil
}

func (l *life) bind() {
	account, name := uint32(l.IntRange("account", 1, 2)), fmt.Sprint("gw-", l.IntRange("name", 0, 5))
	p, err := l.ps.Bind(&l.b, account, []byte(name), l.nowMs)
	switch {
	case err == nil:
		l.seen[p.Ordinal] = l.nowMs
	case !isTooMany(err) && !errors.Is(err, ErrNoOrdinal):
		l.Fatal(err)
	}
}

func (l *life) IntRange(what string, from, to int) int {
	return rapid.IntRange(from, to).Draw(l.T, what)
}

// producer picks one of those that there are.
func (l *life) producer() *Producer {
	var all []*Producer
	_ = l.ps.Each(func(p *Producer) error {
		all = append(all, p)
		return nil
	})
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(l.T, "producer")
}

// claim decides a sequence of a producer, mostly a new one.
func (l *life) claim() {
	p := l.producer()
	if p == nil {
		return
	}
	if !p.IsNoted(l.nowMs) {
		if _, err := l.ps.Bind(&l.b, p.Account, []byte(p.Name), l.nowMs); err != nil {
			l.Fatal(err)
		}
	}
	l.seen[p.Ordinal] = l.nowMs
	l.next++
	seq := l.next - uint64(l.IntRange("back", 0, min(2, int(l.next)-1)))
	ticket := &Ticket{}
	mine, err := ticket.Begin(p, Claim{Sequence: seq, Hash: [16]byte{byte(seq)}}, l.nowMs)
	if err != nil || !mine {
		return
	}
	if _, err := ticket.Enter(batch(200, event.Up)); err != nil {
		l.Fatal(err)
	}
	result := denied(rapid.SampledFrom([]int{0, 1, 2, 3, 200}).Draw(l.T, "denials"))
	ticket.Decide(&l.b, Decision{
		Group: doneGroup{}, GroupSeq: uint64(len(l.groups)) + 1, AtMs: l.nowMs, Result: result,
	})
	ticket.Settle()
	l.answers[fmt.Sprint(ticket.Place())] = bytes.Clone(ticket.answer)
	l.claims = append(l.claims, record.Claim{
		Producer: p.Ordinal, Sequence: seq, Hash: [16]byte{byte(seq)}, AtMs: l.nowMs,
		Answer: bytes.Clone(ticket.answer),
	})
}

func (l *life) pass() {
	l.nowMs += rapid.SampledFrom([]int64{hourMs / 3, hourMs, 20 * hourMs}).Draw(l.T, "pass")
}

func (l *life) forget() {
	if p := l.producer(); p != nil {
		l.ps.Forget(&l.b, p.Account, []byte(p.Name))
	}
}

// sweep begins a sweep, or ends it a group later.
func (l *life) sweep() {
	if l.swept {
		l.ps.SweepEnd(l.sweeps)
	} else {
		l.sweeps = l.ps.SweepBegin(&l.b, l.ps.Idle(l.nowMs), l.nowMs)
		l.seal()
	}
	l.swept = !l.swept
}

// checkpoint copies what is there while groups up to began are sealed: the open one may be in the copy.
func (l *life) checkpoint() {
	l.began = len(l.groups)
	l.pieces = pieces(l.T, l.ps, 4<<20)
}

// crash recovers everything up to the last sealed group.
func (l *life) crash() *Producers {
	l.seal()
	back := New(l.ps.o)
	for _, piece := range l.pieces {
		if err := back.LoadSection(piece); err != nil {
			l.Fatal(err)
		}
	}
	for i, g := range l.groups[l.began:] {
		c, err := record.Open(g.chunk)
		if err != nil {
			l.Fatal(err)
		}
		var forgotten []uint32
		must := func(err error) {
			if err != nil {
				l.Fatal(err)
			}
		}
		must(c.Bindings(replay{
			producer:  func(p record.Producer) { must(back.Restore(p)) },
			forgotten: func(n uint32) { forgotten = append(forgotten, n) },
		}))
		for _, n := range forgotten {
			must(back.RestoreForgotten(n))
		}
		for _, claim := range g.claims {
			must(back.RestoreClaim(claim, uint64(l.began+i)+1))
		}
	}
	back.Restored(l.nowMs)
	return back
}

// recover crashes, compares what is recovered with what there was, and goes on with it.
func (l *life) recover() {
	back := l.crash()
	if want, got := l.told(l.ps), l.told(back); got != want {
		l.Fatalf("there was\n%sand recovered is\n%s", want, got)
	}
	_ = l.ps.Each(func(p *Producer) error {
		seen, recovered := l.seen[p.Ordinal], back.ByOrdinal(p.Ordinal).sinceMs()
		if recovered < seen || recovered > seen+notedEvery.Milliseconds() || recovered > l.nowMs {
			l.Fatalf("%s was seen at %d, and at %d by the log", p.Name, seen, recovered)
		}
		return nil
	})
	if n := back.MemoryBytes(); n != takes(back) {
		l.Fatalf("%d bytes are taken, %d are said to be", takes(back), n)
	}
	l.ps, l.swept = back, false
}

// told writes down who there is, and what is remembered of them.
func (l *life) told(ps *Producers) string {
	var b strings.Builder
	_ = ps.Each(func(p *Producer) error {
		fmt.Fprintf(&b, "%d is %d/%s, %t\n", p.Ordinal, p.Account, p.Name, ps.Find(p.Account, []byte(p.Name)) == p)
		for i := range p.known.n {
			seq, c := p.known.sequence(i), p.known.value(i)
			answer := p.appendAnswer(nil, i)
			if len(answer) == 0 {
				answer = l.answers[fmt.Sprint(p.Ordinal, seq)]
			}
			fmt.Fprintf(&b, "  %d: %x at %d, %x\n", seq, c.hash, c.atMs, answer)
		}
		return nil
	})
	fmt.Fprintf(&b, "%d live, %d given\n", ps.live, len(ps.byOrdinal)-1)
	return b.String()
}

// Whatever was bound, forgotten, decided and swept, and wherever a checkpoint was copied: what recovery reads is what
// there was. Nobody is taken to be idle for longer than he was, nor for less than an hour less.
func TestRecovery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{
			T:       t,
			ps:      New(Options{AccountMax: 3, OrdinalMax: 9, OrdinalsLow: 5}),
			answers: map[string][]byte{},
			seen:    map[uint32]int64{},
		}
		do := func(step func()) func(*rapid.T) { return func(*rapid.T) { step() } }
		t.Repeat(map[string]func(*rapid.T){
			"bind": do(l.bind), "bind another": do(l.bind), "claim": do(l.claim), "claim again": do(l.claim),
			"forget": do(l.forget), "sweep": do(l.sweep), "seal": do(l.seal), "checkpoint": do(l.checkpoint),
			"crash": do(l.recover), "pass": do(l.pass),
			"passed": do(func() { l.ps.Passed(uint64(l.IntRange("group", 0, len(l.groups)))) }),
		})
		l.recover()
	})
}
