package member

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

// A cell whose stream was deleted has no owner until it is repaired: then a new stream begins behind the longest copy,
// and the other node goes on from there.
func TestRepaired(t *testing.T) {
	if testing.Short() {
		t.Skip("an owner asks for 15 s before it gives up")
	}
	s, made := newServer(t)
	impatient := func(m *member1, _ *Options) { m.silenceMax = silenceMax } // A standby that claims finds it gone.
	first := joinWith(t, s, made, "n1", impatient)
	await(t, "the first owner", first.host.Owner)
	second := joinWith(t, s, made, "n2", impatient)
	await(t, "a standby", func() bool { return first.host.canOwn("n2") == nil })
	for range 3 {
		if err := first.cell.append(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the standby has it", func() bool { return second.host.Status().Group == 3 })
	if err := Repair(
		t.Context(),
		s.Conn(),
		"test",
		0,
		"n1",
	); err == nil ||
		!strings.Contains(err.Error(), "owns the cell") {
		t.Fatal(err)
	}
	js, err := jetstream.New(s.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(patient(t), jetlog.Settings{Cluster: "test"}.StreamName()); err != nil {
		t.Fatal(err)
	}
	if err := first.cell.append(); err == nil {
		t.Fatal("it was acknowledged by nobody")
	}
	for _, m := range []*member1{first, second} {
		await(t, "it says that the stream is gone", func() bool {
			now := m.host.Status()
			return now.Role == board.Damaged && strings.Contains(now.Why, "is gone")
		})
	}
	if err := Repair(t.Context(), s.Conn(), "test", 0, "n2"); err != nil {
		t.Fatal(err)
	}
	await(t, "an owner", func() bool { return first.host.Owner() || second.host.Owner() })
	owner, other := first, second
	if second.host.Owner() {
		owner, other = second, first
	}
	if err := owner.cell.append(); err != nil {
		t.Fatal(err)
	}
	await(t, "the other one follows", func() bool {
		now := other.host.Status()
		return now.Group == 4 && now.Role == board.Standby && now.Stream != board.Bytes16(made.Identity)
	})
}

// A stream is replaced by one at a time, and not behind a copy that is being made anew.
func TestRepairedOnce(t *testing.T) {
	began, proved := make(chan struct{}), make(chan struct{})
	h := &Host{renewed: make(chan struct{}, 1)}
	h.o.Logger = slog.New(slog.DiscardHandler)
	h.o.Renew = func(context.Context) error {
		began <- struct{}{}
		<-proved
		return nil
	}
	first := make(chan error, 1)
	go func() { first <- h.renew(t.Context()) }()
	<-began
	if err := h.renew(t.Context()); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
	close(proved)
	if err := <-first; err != nil {
		t.Error(err)
	}
	h.now.Role = board.Reseeding
	if err := h.renew(t.Context()); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Error(err)
	}
}

// A node that starts when the stream is gone tells which one its copy is of.
func TestGoneWhenStarted(t *testing.T) {
	s, made := newServer(t)
	m := joinWith(t, s, made, "n1", func(_ *member1, o *Options) {
		o.Look = func(context.Context) (Followed, error) {
			return Followed{Identity: made.Identity}, jetlog.ErrGone
		}
	})
	await(t, "it tells the stream", func() bool {
		now := m.host.Status()
		return now.Role == board.Damaged && now.Stream == board.Bytes16(made.Identity)
	})
}
