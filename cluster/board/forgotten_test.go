package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
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
	for i := range 3 * serversMax {
		p.forget(Forgotten{Server: Server{Node: "n9", ID: "x"}, AtMs: int64(i)}, Server{})
		p.meet(Server{"n9", strings.Repeat("n", i%wordBytesMax+1), strings.Repeat("i", i/wordBytesMax+1)})
	}
	if len(p.servers) != serversMax || len(p.forgotten) != serversMax {
		t.Fatal(len(p.servers), len(p.forgotten))
	}
}

// Whoever is forgotten is refused, by whoever knows; all nodes that are named know, one that was away learns it.
func TestForget(t *testing.T) {
	c1, c2 := connections(t)
	path := filepath.Join(t.TempDir(), "positions")
	b1 := open(t, Options{Conn: c1, Cluster: "c", Node: "n1", Server: serverOf("n1", "1"), Path: path})
	b2 := open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Server: serverOf("n2", "2")})
	older := make(chan error, 8)
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
	if err := <-older; !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
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

func FuzzNotes(f *testing.F) {
	p := newPositions()
	p.meet(serverOf("n1", "1"))
	p.forget(Forgotten{Server: serverOf("n2", "2"), AtMs: 1}, Server{})
	b, err := encodeNotes("n1", p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"v":1,"node":"n1","forgotten":[{"node":"n2","gone":true}]}`))
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
