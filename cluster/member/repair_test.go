package member

import (
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
	first := join(t, s, made, "n1")
	await(t, "the first owner", first.host.Owner)
	second := join(t, s, made, "n2")
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
	if err := js.DeleteStream(t.Context(), jetlog.Settings{Cluster: "test"}.StreamName()); err != nil {
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
