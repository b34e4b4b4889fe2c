package claims

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// decidedOnce is what the model knows of a sequence.
type decidedOnce struct {
	hash   byte
	atMs   int64
	answer []byte
}

// anyGroup is done when a test says so.
type anyGroup struct {
	seq    uint64
	isDone bool
}

func (g *anyGroup) IsDone() bool { return g.isDone }

// gateway is a random gateway: it sends sequences mostly in order, some again, some with another body, and up to 64 at
// once.
type gateway struct {
	*rapid.T
	ps        *Producers
	p         *Producer
	nowMs     int64
	next      uint64
	decided   map[uint64]decidedOnce
	open      map[uint64]*Ticket // begun and not decided
	group     *anyGroup          // the open one
	unsettled []*Ticket
	groups    []*anyGroup // of those
}

func (g *gateway) send() {
	g.next += rapid.Uint64Range(1, 3).Draw(g.T, "gap")
	g.begin(g.next, byte(g.next))
}

func (g *gateway) sendOld() {
	seq := g.next - min(g.next, rapid.Uint64Range(0, 700).Draw(g.T, "back"))
	if g.open[seq] == nil { // It would wait for itself.
		g.begin(seq, byte(seq)+rapid.SampledFrom([]byte{0, 0, 0, 1}).Draw(g.T, "body"))
	}
}

// sendMany sends as many as are remembered, one after the other.
func (g *gateway) sendMany() {
	for range rapid.IntRange(1, 300).Draw(g.T, "many") {
		g.next++
		g.begin(g.next, byte(g.next))
		g.decide(g.next)
		g.settle()
	}
}

// newer returns how many decided sequences are higher, and whether one of them is a day old.
func (g *gateway) newer(seq uint64) (n int, old bool) {
	for other, d := range g.decided {
		if other >= seq {
			old = old || g.nowMs-d.atMs >= KeptFor.Milliseconds()
		}
		if other > seq {
			n++
		}
	}
	return n, old
}

// begin begins a sequence and checks what comes of it.
func (g *gateway) begin(seq uint64, body byte) {
	before, wasDecided := g.decided[seq]
	newer, old := g.newer(seq)
	mayBeForgotten := newer >= 256 || old
	ticket := &Ticket{}
	mine, err := ticket.Begin(g.p, Claim{Sequence: seq, Hash: [16]byte{body}}, g.nowMs)
	switch {
	case errors.Is(err, ErrTooOld):
		if !mayBeForgotten {
			g.Fatalf("%d is too old, with %d newer ones", seq, newer)
		}
	case errors.Is(err, ErrTooManyInFlight):
		if n := g.inFlight(); n < inFlightMax {
			g.Fatalf("%d in flight are too many", n)
		}
	case errors.Is(err, ErrReused):
		if !wasDecided || before.hash == body {
			g.Fatalf("%d was not used with another body", seq)
		}
	case err != nil:
		g.Fatal(err)
	case mine && wasDecided:
		g.Fatalf("%d is decided twice", seq)
	case mine:
		if n := g.inFlight(); n >= inFlightMax {
			g.Fatalf("%d in flight are not too many", n)
		}
		g.open[seq] = ticket
	case before.hash != body:
		g.Fatalf("%d is answered although its body is another one", seq)
	default:
		if _, inLedger := ticket.Replayed(); inLedger {
			if err := ticket.Found(before.answer, g.nowMs); err != nil {
				g.Fatal(err)
			}
		}
		if !bytes.Equal(ticket.answer, before.answer) || ticket.before.atMs != before.atMs {
			g.Fatalf("%d is answered %x of %d, was %x of %d",
				seq, ticket.answer, ticket.before.atMs, before.answer, before.atMs)
		}
	}
}

// pick picks one of those that are open.
func (g *gateway) pick() (seq uint64, ok bool) {
	var list []uint64
	for seq := range g.open {
		list = append(list, seq)
	}
	if len(list) == 0 {
		return 0, false
	}
	slices.Sort(list)
	return rapid.SampledFrom(list).Draw(g.T, "open"), true
}

func (g *gateway) decide(seq uint64) {
	ticket := g.open[seq]
	if ticket == nil {
		return
	}
	if _, err := ticket.Enter(batch(50, event.Up)); err != nil {
		g.Fatal(err)
	}
	result := denied(int(seq) % 4 * 10)
	ticket.Decide(&record.Builder{}, Decision{
		Group: g.group, GroupSeq: g.group.seq, AtMs: g.nowMs, Result: result,
	})
	g.decided[seq] = decidedOnce{ticket.claim.Hash[0], g.nowMs, bytes.Clone(ticket.answer)}
	delete(g.open, seq)
	g.unsettled, g.groups = append(g.unsettled, ticket), append(g.groups, g.group)
}

func (g *gateway) decideAny() {
	if seq, ok := g.pick(); ok {
		g.decide(seq)
	}
}

func (g *gateway) giveUp() {
	if seq, ok := g.pick(); ok {
		g.open[seq].GiveUp()
		delete(g.open, seq)
	}
}

func (g *gateway) settle() {
	g.done()
	for _, ticket := range g.unsettled {
		ticket.Settle()
	}
	g.unsettled, g.groups = nil, nil
}

// done makes the open group durable; its requests are settled later.
func (g *gateway) done() {
	g.group.isDone = true
	g.group = &anyGroup{seq: g.group.seq + 1}
}

// inFlight returns how many requests wait for their answers.
func (g *gateway) inFlight() (n int) {
	for _, group := range g.groups {
		if !group.isDone {
			n++
		}
	}
	return n + len(g.open)
}

// A sequence is decided at most once, whatever a gateway does; the last 256 are answered as they were for a day; a
// sequence is refused only if it could have been forgotten, was used for another body, or too many are in flight.
func TestSequencesOfAGateway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &gateway{
			T: t, ps: New(Options{}), decided: map[uint64]decidedOnce{}, open: map[uint64]*Ticket{}, nowMs: 1,
			group: &anyGroup{seq: 1},
		}
		var err error
		if g.p, err = g.ps.Bind(&record.Builder{}, 1, []byte("gw"), g.nowMs); err != nil {
			t.Fatal(err)
		}
		do := func(step func()) func(*rapid.T) { return func(*rapid.T) { step() } }
		t.Repeat(map[string]func(*rapid.T){
			"send": do(g.send), "send another": do(g.send), "send old": do(g.sendOld), "send many": do(g.sendMany),
			"decide": do(g.decideAny), "give up": do(g.giveUp), "settle": do(g.settle), "done": do(g.done),
			"pass":   do(func() { g.nowMs += rapid.Int64Range(1, 26).Draw(t, "hours") * hourMs }),
			"passed": do(func() { g.ps.Passed(g.group.seq - 1) }),
			"tidy":   do(func() { g.ps.Tidy(g.nowMs) }),
			"": do(func() {
				if n := g.p.InFlight(); n < g.inFlight() || n > len(g.open)+len(g.unsettled) {
					t.Fatalf("%d are in flight, %d are said to be", g.inFlight(), n)
				}
				if n := g.ps.MemoryBytes(); n != takes(g.ps) {
					t.Fatalf("%d bytes are taken, %d are said to be", takes(g.ps), n)
				}
			}),
		})
	})
}
