package claims

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

const hourMs = 3_600_000

// isTooMany reports whether err is the problem of too many producers.
func isTooMany(err error) bool {
	var p *event.Problem
	return errors.As(err, &p) && p.Code == event.TooManyProducers
}

// names returns the names of an account, sorted.
func names(ps *Producers, account uint32) []string {
	if a := ps.accounts[account]; a != nil {
		return slices.Sorted(maps.Keys(a.names))
	}
	return nil
}

// When an account is full, who was idle for longest makes room, if that is at least a day, and nobody else's account
// does. Whoever sends a request is not idle.
func TestIdleProducerMakesRoom(t *testing.T) {
	ps := New(Options{AccountMax: 3})
	b := &record.Builder{}
	mustBind := func(account uint32, name string, atMs int64) {
		t.Helper()
		if _, err := ps.Bind(b, account, []byte(name), atMs); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name string, atMs int64) {
		t.Helper()
		if p, err := ps.Bind(b, 1, []byte(name), atMs); !isTooMany(err) {
			t.Fatal(p, err)
		}
	}
	mustBind(2, "other", 0)
	mustBind(1, "a", 0)
	mustBind(1, "b", 0)
	mustBind(1, "c", 0)
	refused("d", 24*hourMs-1)
	mustBind(1, "a", 5*hourMs) // By a request.
	ticket := &Ticket{}
	if _, err := ticket.Begin(ps.Find(1, []byte("b")), Claim{Sequence: 1}, 2*hourMs); err != nil { // By a sequence.
		t.Fatal(err)
	}
	c := ps.Find(1, []byte("c"))
	mustBind(1, "d", 24*hourMs)
	if got := names(ps, 1); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Fatal(got)
	}
	if ps.ByOrdinal(c.Ordinal) != nil || ps.Name(c.Ordinal) != "" || ps.Len() != 4 {
		t.Fatal("c is there")
	}
	refused("e", 24*hourMs)
	refused("e", 26*hourMs-1)
	mustBind(1, "e", 26*hourMs)
	if got := names(ps, 1); !slices.Equal(got, []string{"a", "d", "e"}) {
		t.Fatal(got)
	}
	if p := ps.Find(1, []byte("e")); p.Ordinal == c.Ordinal {
		t.Fatal("an ordinal was given anew while there were others")
	}
}

// A request whose producer was forgotten on its way begins anew, as a new producer's; what is remembered of the old one
// is not the new one's.
func TestForgottenOnTheWay(t *testing.T) {
	ps := New(Options{})
	old := bind(t, ps, "gw")
	claimOne(t, old, 1, nil, make([]byte, 10))
	ticket := begun(t, old, 2)
	if !ps.Forget(&record.Builder{}, 1, []byte("gw")) || ps.Forget(&record.Builder{}, 1, []byte("gw")) {
		t.Fatal("it is forgotten once")
	}
	if err := enter(ticket, batch(1, event.Up)); !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
	}
	ticket.GiveUp()
	again := bind(t, ps, "gw")
	if again == old || again.Ordinal == old.Ordinal || again.Sequences().Any {
		t.Fatalf("%+v", again.Sequences())
	}
	for seq := range uint64(3) {
		if err := enter(begun(t, again, seq), batch(1, event.Up)); err != nil {
			t.Fatal(err)
		}
	}
}

// When ordinals are used up, a new name is refused until a sweep has made the forgotten ones free, and then gets one of
// them. A sweep that finds few that are forgotten forgets who was idle for a day.
func TestSweepFreesOrdinals(t *testing.T) {
	ps := New(Options{OrdinalMax: 4, OrdinalsLow: 2})
	b := &record.Builder{}
	nowMs := int64(1)
	bindAt := func(name string) error {
		_, err := ps.Bind(b, 1, []byte(name), nowMs)
		return err
	}
	sweep := func() []uint32 {
		t.Helper()
		if !ps.SweepDue(nowMs) {
			t.Fatal("no sweep is due")
		}
		forgotten := ps.SweepBegin(b, ps.Idle(nowMs), nowMs)
		if ps.SweepDue(nowMs) {
			t.Fatal("one sweep after the other")
		}
		ps.SweepEnd(forgotten)
		return forgotten
	}
	for n := range 4 {
		if due := ps.SweepDue(nowMs); due != (n == 3) {
			t.Fatalf("%d names: a sweep is due: %t", n, due)
		}
		if err := bindAt(fmt.Sprint("gw-", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := bindAt("more"); !isTooMany(err) { // Nothing that a sweep could change.
		t.Fatal(err)
	}
	ps.Forget(b, 1, []byte("gw-1"))
	if err := bindAt("more"); !errors.Is(err, ErrNoOrdinal) {
		t.Fatal(err)
	}
	if got := sweep(); !slices.Equal(got, []uint32{2}) {
		t.Fatal(got)
	}
	if err := bindAt("more"); err != nil || ps.Name(2) != "more" {
		t.Fatal(err, ps.Name(2))
	}
	nowMs += sweepEvery.Milliseconds()
	if got := sweep(); len(got) != 0 || ps.Len() != 4 {
		t.Fatal("nobody was idle:", got)
	}
	nowMs += 24 * hourMs
	if err := bindAt("gw-3"); err != nil {
		t.Fatal(err)
	}
	if got := sweep(); !slices.Equal(got, []uint32{1, 2}) || !slices.Equal(names(ps, 1), []string{"gw-2", "gw-3"}) {
		t.Fatal(got, names(ps, 1))
	}
}

// The log hears of a producer that sends no sequences once an hour at most, and of one that sends some only by them.
func TestAliveIsNoted(t *testing.T) {
	ps := New(Options{})
	b := &record.Builder{}
	noted := func() (seenMs []int64) {
		c, err := record.Open(b.Finish(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Bindings(replay{producer: func(r record.Producer) { seenMs = append(seenMs, r.SeenMs) }}); err != nil {
			t.Fatal(err)
		}
		return seenMs
	}
	for ms := int64(0); ms < 3*hourMs; ms += 60_000 {
		if _, err := ps.Bind(b, 1, []byte("gw"), ms); err != nil {
			t.Fatal(err)
		}
	}
	if got := noted(); !slices.Equal(got, []int64{0, hourMs, 2 * hourMs}) {
		t.Errorf("noted at %v", got)
	}
	ticket := begun(t, ps.Find(1, []byte("gw")), 1)
	ticket.Decide(b, Decision{Group: doneGroup{}, AtMs: 4 * hourMs, Result: &event.Result{}})
	for ms := int64(4 * hourMs); ms < 5*hourMs; ms += 60_000 {
		if _, err := ps.Bind(b, 1, []byte("gw"), ms); err != nil {
			t.Fatal(err)
		}
	}
	if got := noted(); len(got) != 0 {
		t.Errorf("noted at %v, beside its sequence", got)
	}
}
