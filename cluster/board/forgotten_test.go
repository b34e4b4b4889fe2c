package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func serverOf(node, id string) Server { return Server{Node: node, Name: node + "-" + id, ID: id} }

// What is forgotten of a node is its row and its positions; what a stream had once stays.
func TestPositionsForget(t *testing.T) {
	p := newPositions()
	p.take("n3", at(10))
	p.take("n1", at(9))
	p.meet(serverOf("n3", "old"))
	gone := Forgotten{Server: serverOf("n3", "old"), AtMs: 1, Gone: true}
	if s, known := p.ServerOf("old"); !known || s.Node != "n3" || !p.Knows("n3") || p.forgets(gone.Server) {
		t.Fatal("a node that has told something is not known")
	}
	if !p.forget(gone, Server{}) || p.forget(gone, Server{}) {
		t.Fatal("news once, and no more")
	}
	if p.Knows("n3") || !p.forgets(gone.Server) || len(p.Of(1)) != 1 || p.meet(Server{}) {
		t.Fatalf("%+v", p)
	}
	if l, ok := p.Longest(1, Bytes16{7}); !ok || l.Group != 10 {
		t.Fatalf("nobody knows any more what the stream had: %+v", l)
	}
	// It is back, with another disk, when another node hears late of what was forgotten.
	p.take("n3", at(2))
	late := Forgotten{Server: serverOf("n3", "older"), AtMs: 2, Gone: true}
	if !p.forget(late, serverOf("n3", "new")) || !p.Knows("n3") {
		t.Fatal("a node that is heard is not forgotten with a server that it had before")
	}
	// It is tried again, and removed in the end: all that is written down of it says so, also what is heard late.
	again := Forgotten{Server: gone.Server, AtMs: 3, Gone: true}
	p.forget(again, Server{})
	done := again
	if done.Removed = true; !p.confirm(&done) || p.confirm(&done) || p.forget(done, Server{}) {
		t.Fatal("news once, and no more")
	}
	if p.confirm(&again) || !again.Removed || p.forget(again, Server{}) {
		t.Fatal("a server that is removed is to be removed again")
	}
	for _, f := range p.forgotten {
		if f.Removed != (f.ID == gone.ID) {
			t.Fatalf("%+v", f)
		}
	}
	for i := range 3 * serversMax {
		p.forget(Forgotten{Server: Server{Node: "n8"}, AtMs: int64(i), Gone: true}, Server{})
	}
	if len(p.forgotten) != serversMax || !p.forgets(late.Server) || p.forgets(gone.Server) {
		t.Fatal("what is still to be removed is kept before all others", len(p.forgotten))
	}
	for i := range 3 * serversMax {
		p.forget(Forgotten{Server: Server{Node: "n9", ID: "x"}, AtMs: int64(i)}, Server{})
		p.meet(Server{"n9", strings.Repeat("n", i%wordBytesMax+1), strings.Repeat("i", i/wordBytesMax+1)})
	}
	if len(p.servers) != serversMax || len(p.forgotten) != serversMax {
		t.Fatal(len(p.servers), len(p.forgotten))
	}
}

// Whoever is forgotten is refused, by whoever knows; all nodes that are named know, one that was away learns it.
func TestForget(t *testing.T) { synctest.Test(t, testForget) }

func testForget(t *testing.T) {
	c1, c2 := connections(t)
	path := filepath.Join(t.TempDir(), "positions")
	b1 := open(t, Options{Conn: c1, Cluster: "c", Node: "n1", Server: serverOf("n1", "1"), Path: path})
	b2 := open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Server: serverOf("n2", "2")})
	older := make(chan error, 100)
	third := Options{
		Conn: c2, Cluster: "c", Node: "n3", Server: serverOf("n3", "3"), Older: func(err error) { older <- err },
	}
	b3 := open(t, third)
	b3.Tell(Status{State: Ready, Cells: []CellStatus{*at(10)}})
	heard := func(b *Board) func() bool {
		return func() bool {
			for _, n := range b.Nodes() {
				if n.Node == "n3" && len(n.Cells) > 0 && n.Server == third.Server {
					return true
				}
			}
			return false
		}
	}
	await(t, b1, "n1 does not hear n3", heard(b1))
	if err := third.Admitted(t.Context(), 2); err != nil {
		t.Fatalf("nobody has forgotten it: %v", err)
	}
	gone := []Forgotten{{Server: third.Server, AtMs: 1, Gone: true}}
	if err := b1.Forget(t.Context(), gone, []string{"n2", "n4"}); err == nil || !strings.Contains(err.Error(), `"n4"`) {
		t.Fatalf("a node that is not there has answered: %v", err)
	}
	if err := b1.Forget(t.Context(), gone, []string{"n2"}); err != nil {
		t.Fatal(err)
	}
	if err := <-older; !errors.Is(err, ErrForgotten) || !strings.Contains(err.Error(), "is being removed") {
		t.Fatal(err)
	}
	gone[0].Removed = true
	if err := b1.Forget(t.Context(), gone, []string{"n2"}); err != nil || len(b2.Forgotten()) != 1 {
		t.Fatal(err, b2.Forgotten())
	}
	for !strings.Contains((<-older).Error(), "was removed") { // It may be told the first thing more than once.
	}
	await(t, b2, "n2 shows who was forgotten", func() bool { return !heard(b2)() && len(b2.Positions().Of(1)) == 0 })
	b3.tell() // As one that was paused, and has not heard it.
	if err := <-older; !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
	}
	if heard(b2)() {
		t.Fatal("a server that was forgotten is heard")
	}
	if err := third.Admitted(t.Context(), 2); !errors.Is(err, ErrForgotten) {
		t.Fatalf("it may come back: %v", err)
	}
	if err := errors.Join(b3.Close(), b2.Close(), b1.Close()); err != nil {
		t.Fatal(err)
	}
	// All start at once: the file of one is enough.
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- Options{Conn: c1, Cluster: "c", Node: "n1", Server: serverOf("n1", "1"), Path: path}.Admitted(ctx, 5)
	}()
	if err := third.Admitted(t.Context(), 2); !errors.Is(err, ErrForgotten) {
		t.Fatalf("it may come back: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// One that was away is told when it hears another node for the first time.
	b1 = open(t, Options{Conn: c1, Cluster: "c", Node: "n1", Server: serverOf("n1", "1"), Path: path})
	defer b1.Close()
	b2 = open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Server: serverOf("n2", "2")})
	defer b2.Close()
	for until := time.Now().Add(time.Minute); !b2.Positions().forgets(third.Server); {
		if time.Now().After(until) {
			t.Fatal("a node that was away does not learn who was forgotten")
		}
		<-time.After(time.Millisecond)
	}
}

// Who is forgotten counts as written down where it is on the disk, and is written again when it is told again.
func TestForgetIsWritten(t *testing.T) { synctest.Test(t, testForgetIsWritten) }

func testForgetIsWritten(t *testing.T) {
	c1, c2 := connections(t)
	dirs := []string{filepath.Join(t.TempDir(), "later"), filepath.Join(t.TempDir(), "later")}
	b1 := open(t, Options{Conn: c1, Cluster: "c", Node: "n1", Path: filepath.Join(dirs[0], "positions")})
	b2 := open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Path: filepath.Join(dirs[1], "positions")})
	gone := []Forgotten{{Server: serverOf("n3", "3"), AtMs: 1, Gone: true}}
	for i, why := range []string{"write down who was forgotten", `node "n2" does not answer`} {
		if err := b1.Forget(t.Context(), gone, []string{"n2"}); err == nil || !strings.Contains(err.Error(), why) {
			t.Fatalf("not %q: %v", why, err)
		}
		if err := os.Mkdir(dirs[i], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := b1.Forget(t.Context(), gone, []string{"n2"}); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Board{b1, b2} {
		if !readPositions(b.o.Path, b.o.Logger).forgets(gone[0].Server) {
			t.Errorf("%s has answered, and it is not written", b.o.Node)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzNotes(f *testing.F) {
	p := newPositions()
	p.meet(serverOf("n1", "1"))
	p.forget(Forgotten{Server: serverOf("n2", "2"), AtMs: 1}, Server{})
	b, err := encodeNotes("n1", p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"v":1,"node":"n1","forgotten":[{"node":"n2","gone":true},{"node":"n3","id":"3","removed":true}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeNotes(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > messageBytesMax {
			t.Skip("escapes make it longer than what is taken")
		}
		got, err := decodeNotes(again)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := json.Marshal(got); err != nil || !bytes.Equal(twice, again) {
			t.Fatalf("%s, not %s: %v", twice, again, err)
		}
	})
}

func TestNodeOf(t *testing.T) {
	for name, want := range map[string]string{"n1-548989ab": "n1", "a-b-12": "a-b", "n1": "", "? ?-1": "", "-1": ""} {
		if got := NodeOf(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}
