package forget

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/cluster/board"
)

// fixture is a cluster in memory: nodes, servers, and streams of three replicas.
type fixture struct {
	nodes     []board.Status
	servers   []Peer
	streams   []Stream
	positions board.Positions
	told      []board.Forgotten
	asked     []string
	toldErr   error
	removeErr error
}

func node(name, state, server string) board.Status {
	return board.Status{Node: name, State: state, Server: board.Server{Node: name, Name: name + "-" + server, ID: server}}
}

func well(name, id string) Peer { return Peer{ID: id, Name: name + "-" + id, Current: true} }

func dead(name, id string) Peer { return Peer{ID: id, Name: name + "-" + id, Offline: true} }

func stream(peers ...Peer) Stream { return Stream{Cell: 3, Replicas: 3, Peers: peers} }

// emptied: n2 is back without what was on its disk.
func emptied() *fixture {
	return &fixture{
		nodes: []board.Status{
			node("n1", board.Ready, "a"), node("n2", board.Ready, "new"), node("n3", board.Ready, "c"),
		},
		servers: []Peer{well("n1", "a"), dead("n2", "old"), well("n2", "new"), well("n3", "c")},
		streams: []Stream{stream(well("n1", "a"), dead("n2", "old"), well("n3", "c"))},
	}
}

// gone: n3 does not come back.
func gone() *fixture {
	return &fixture{
		nodes: []board.Status{
			node("n1", board.Ready, "a"), node("n2", board.Ready, "b"), node("n3", board.Silent, "c"),
		},
		servers: []Peer{well("n1", "a"), well("n2", "b"), dead("n3", "c")},
		streams: []Stream{stream(well("n1", "a"), well("n2", "b"), dead("n3", "c"))},
	}
}

// five: of five nodes n4 and n5 do not come back, and no stream has replicas on both.
func five() *fixture {
	a, b, c, d, e := well("n1", "a"), well("n2", "b"), well("n3", "c"), dead("n4", "d"), dead("n5", "e")
	return &fixture{
		nodes: []board.Status{
			node("n1", board.Ready, "a"), node("n2", board.Ready, "b"), node("n3", board.Ready, "c"),
			node("n4", board.Silent, "d"), node("n5", board.Silent, "e"),
		},
		servers: []Peer{a, b, c, d, e},
		streams: []Stream{
			{Cell: 3, Replicas: 3, Peers: []Peer{a, b, e}},
			{Cell: 4, Replicas: 3, Peers: []Peer{b, c, d}},
			{Cell: 5, Replicas: 3, Peers: []Peer{a, b, c}},
		},
	}
}

func (f *fixture) facts(name string) *Facts {
	return &Facts{
		Node: name, Nodes: f.nodes, Positions: &f.positions, Notes: f.told, Servers: f.servers, Streams: f.streams,
	}
}

func TestDead(t *testing.T) {
	for name, c := range map[string]struct {
		of     *fixture
		change func(f *fixture)
		node   string
		want   string // id of the server, or what the refusal says
	}{
		"its disk was emptied": {of: emptied(), node: "n2", want: "old"},
		"it never comes back":  {of: gone(), node: "n3", want: "c"},
		"it is there":          {of: emptied(), node: "n1", want: "is heard, and no other server was ever its own"},
		"nobody knows it":      {of: emptied(), node: "n9", want: `there is no node "n9"`},
		"its server was never heard": {of: gone(), node: "n3", want: "c", change: func(f *fixture) {
			f.nameless("c")
		}},
		"an emptied one without names": {of: emptied(), node: "n2", want: "old", change: func(f *fixture) {
			f.nameless("old")
		}},
		"an emptied one, another is missing": {of: emptied(), node: "n2", want: "stop it first", change: func(f *fixture) {
			f.nameless("old")
			f.nodes[2].State = board.Silent
		}},
		"a dead one that nobody knows": {of: gone(), node: "n9", want: `there is no node "n9"`, change: func(f *fixture) {
			f.nameless("c")
		}},
		"only the streams know its name": {of: gone(), node: "n3", want: "c", change: func(f *fixture) {
			f.servers[2].Name = namelessOf("c")
		}},
		"only the servers know its name": {of: gone(), node: "n3", want: "c", change: func(f *fixture) {
			p := &f.streams[0].Peers[2]
			p.ID, p.Name = "hash of what follows", namelessOf("c")
		}},
		"its server is online": {of: gone(), node: "n3", want: `"n3-c" of node "n3" is online`, change: func(f *fixture) {
			f.servers[2].Offline = false
		}},
		"it is heard again": {of: gone(), node: "n3", want: "no other server was ever its own", change: func(f *fixture) {
			f.nodes[2].State = board.Ready
		}},
		"another server is dead, too": {of: gone(), node: "n3", want: `"n2-b" is offline, too`, change: func(f *fixture) {
			f.servers[1].Offline = true
		}},
		"another server is behind": {of: emptied(), node: "n2", want: `"n2-new" is behind, too`, change: func(f *fixture) {
			f.servers[2].Current = false
		}},
		"another replica is behind": {
			of: gone(), node: "n3", want: `"n2-b" has a replica of cell 3 and is behind`,
			change: func(f *fixture) { f.streams[0].Peers[1].Current = false },
		},
		"another replica is dead": {
			of: gone(), node: "n3", want: `"n2-b" has a replica of cell 3 and is offline`,
			change: func(f *fixture) { f.streams[0].Peers[1].Offline = true },
		},
		"one replica would be left": {
			of: gone(), node: "n3", want: "1 servers would have cell 3, 2 are too few",
			change: func(f *fixture) { f.streams[0].Peers = f.streams[0].Peers[1:] },
		},
		"two of its servers": {of: emptied(), node: "n2", want: "that two are dead at once", change: func(f *fixture) {
			f.servers = append(f.servers, dead("n2", "older"))
		}},
		"its server was removed before": {of: gone(), node: "n3", want: "", change: func(f *fixture) {
			f.servers, f.streams[0].Peers = f.servers[:2], f.streams[0].Peers[:2]
		}},
		"a second one is dead":    {of: five(), node: "n5", want: "e"},
		"and the other one first": {of: five(), node: "n4", want: "d"},
		"two replicas on dead servers": {
			of: five(), node: "n5", want: "cell 4: two replicas are on servers that are dead",
			change: func(f *fixture) { f.streams[1].Peers = []Peer{well("n1", "a"), dead("n4", "d"), dead("n5", "e")} },
		},
		"two, and neither name is known": {
			of: five(), node: "n5", want: "cell 4: two replicas are on servers that are dead",
			change: func(f *fixture) {
				f.streams[1].Peers = []Peer{
					well("n1", "a"),
					{Name: namelessOf("d"), Offline: true},
					{Name: namelessOf("e"), Offline: true},
				}
			},
		},
		"two, in several cells": {of: five(), node: "n5", want: "cells 4, 9: two", change: func(f *fixture) {
			f.streams[1].Peers = []Peer{well("n1", "a"), dead("n4", "d"), dead("n5", "e")}
			f.streams = append(f.streams, Stream{Cell: 9, Replicas: 3, Peers: f.streams[1].Peers})
		}},
		"two, of which nobody tells": {of: five(), node: "n5", want: "cell 4: nobody leads", change: func(f *fixture) {
			f.streams[1] = Stream{Cell: 4, Silent: true}
		}},
		"three are dead": {of: five(), node: "n5", want: "2 of 5 servers are well, 3 must be", change: func(f *fixture) {
			f.servers[2].Offline = true
		}},
		"a second one is dead, a third behind": {
			of: five(), node: "n5", want: `"n3-c" is behind, too`,
			change: func(f *fixture) { f.servers[2].Current = false },
		},
		"a second one is dead, a replica behind": {
			of: five(), node: "n5", want: "has a replica of cell 4 and is behind",
			change: func(f *fixture) { f.streams[1].Peers[0].Current = false },
		},
		"a second one is dead, a replica is still made": {
			of: five(), node: "n5", want: "cell 3 are still being made",
			change: func(f *fixture) { f.streams[0].Peers = f.streams[0].Peers[:2] },
		},
		"a second one is dead, and is being removed": {
			of: five(), node: "n5", want: `"n4" is being removed`,
			change: func(f *fixture) {
				f.told = []board.Forgotten{{Server: board.Server{Node: "n4", Name: "n4-d", ID: "d"}, Gone: true}}
			},
		},
		"the operator's servers": {of: gone(), node: "n3", want: "", change: func(f *fixture) {
			f.servers, f.streams = nil, nil
		}},
		"the operator's, and it is heard": {of: emptied(), node: "n2", want: "stop it first", change: func(f *fixture) {
			f.servers, f.streams = nil, nil
		}},
	} {
		if c.change != nil {
			c.change(c.of)
		}
		peer, found, err := c.of.facts(c.node).Dead()
		switch {
		case err != nil:
			if !errors.Is(err, ErrRefused) || c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, not %q", name, err, c.want)
			}
		case peer.ID != c.want || found != (c.want != ""):
			t.Errorf("%s: %+v %t, not %q", name, peer, found, c.want)
		}
	}
}

func namelessOf(id string) string { return "Server name unknown at this time (peerID: " + id + ")" }

// nameless takes the name of a server away, as the others do when they have started since.
func (f *fixture) nameless(id string) {
	for _, list := range [][]Peer{f.servers, f.streams[0].Peers} {
		for i := range list {
			if list[i].ID == id {
				list[i].Name = namelessOf(id)
			}
		}
	}
}

// fixture is a Board, too.
func (f *fixture) Nodes() []board.Status        { return f.nodes }
func (f *fixture) Positions() *board.Positions  { return &f.positions }
func (f *fixture) Forgotten() []board.Forgotten { return f.told }

// Forget drops a row as a board does: with what is written down, before anything is removed.
func (f *fixture) Forget(_ context.Context, list []board.Forgotten, nodes []string) error {
	same := func(of board.Forgotten) bool { return of.ID == list[0].ID }
	f.told = append(slices.DeleteFunc(f.told, same), list...)
	f.nodes = slices.DeleteFunc(slices.Clone(f.nodes), func(n board.Status) bool {
		return slices.ContainsFunc(list, func(of board.Forgotten) bool { return of.Gone && of.Node == n.Node })
	})
	f.asked = append(f.asked, "told "+strings.Join(nodes, " "))
	return f.toldErr
}

// forgetter removes at once, and has a new replica placed on the last server that has none.
func (f *fixture) forgetter(t *testing.T) *Forgetter {
	t.Helper()
	g, err := New(Options{
		Node: "n1", Board: f,
		Servers: func(context.Context) ([]Peer, error) { return f.servers, nil },
		Streams: func(context.Context) ([]Stream, error) { return f.streams, nil },
		Remove: func(_ context.Context, id string) error {
			f.asked = append(f.asked, "removed "+id)
			if f.removeErr != nil {
				return f.removeErr
			}
			is := func(p Peer) bool { return p.ID == id }
			f.servers = slices.DeleteFunc(f.servers, is)
			if len(f.streams) > 1 {
				f.place(is)
				return nil
			}
			f.streams[0].Peers = slices.Clone(f.servers)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// place gives each stream of a removed server another one that is well.
func (f *fixture) place(removed func(Peer) bool) {
	for i := range f.streams {
		s := &f.streams[i]
		if !slices.ContainsFunc(s.Peers, removed) {
			continue
		}
		s.Peers = slices.DeleteFunc(slices.Clone(s.Peers), removed)
		next := slices.IndexFunc(f.servers, func(p Peer) bool { return !p.Offline && !slices.Contains(s.Peers, p) })
		s.Peers = append(s.Peers, f.servers[next])
	}
}

// Of two nodes that are dead at once one is forgotten after the other; a node whose disk was emptied leaves that to a
// person.
func TestForgetTwo(t *testing.T) {
	f := five()
	if !f.facts("n4").othersDead() {
		t.Error("nobody would know that another one is dead")
	}
	for i, want := range []string{"1 cells have a replica on another server that is dead", "have their replicas again"} {
		answer, err := f.forgetter(t).Forget(t.Context(), []string{"n4", "n5"}[i])
		if err != nil || !strings.Contains(answer.Said, want) {
			t.Fatalf("%+v, %v, not %q", answer, err, want)
		}
	}
	if len(f.servers) != 3 || f.facts("n1").Whole() != 0 || f.facts("n1").onDead() != 0 {
		t.Errorf("%+v, %+v", f.servers, f.streams)
	}
	for _, s := range f.streams {
		if len(s.Peers) != 3 {
			t.Errorf("%+v", s)
		}
	}
}

// Everybody knows before anything is removed; what is left to do is said.
func TestForget(t *testing.T) {
	f := emptied()
	answer, err := f.forgetter(t).Forget(t.Context(), "n2")
	if err != nil || answer.Server != "n2-old" || !strings.Contains(answer.Said, "have their replicas again") {
		t.Fatal(answer, err)
	}
	want := board.Server{Node: "n2", Name: "n2-old", ID: "old"}
	asked := []string{"told n3", "removed old", "told n3"}
	if !slices.Equal(f.asked, asked) || f.told[0].Server != want || f.told[0].Gone {
		t.Fatal(f.asked, f.told)
	}
	f = gone()
	f.nameless("c")
	answer, err = f.forgetter(t).Forget(t.Context(), "n3")
	if err != nil || !strings.Contains(answer.Said, "server c of node \"n3\" is removed; 1 cells have a replica too few") {
		t.Fatal(answer, err)
	}
	if n := f.told[0]; n.ID != "c" || n.Name != "" || !n.Gone || n.AtMs == 0 || !n.Removed {
		t.Fatal(f.told)
	}
	f = gone()
	f.toldErr = errors.New("n2 does not answer")
	if _, err := f.forgetter(t).Forget(t.Context(), "n3"); err == nil || !slices.Equal(f.asked, []string{"told n2"}) {
		t.Fatal("a server is removed that not all know of", f.asked, err)
	}
	f = gone()
	g := f.forgetter(t)
	g.o.Servers, g.o.Remove = nil, nil
	answer, err = g.Forget(t.Context(), "n3")
	if err != nil || answer.Server != "" || !strings.Contains(answer.Said, "are yours") || !f.told[0].Gone {
		t.Fatal(answer, err)
	}
	if _, err := g.Forget(t.Context(), ""); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	g.busy.Lock()
	if _, err := g.Forget(t.Context(), "n3"); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	if _, err := New(Options{}); err == nil {
		t.Fatal("a forgetter of nothing")
	}
}

// What failed half-way can be done again: its row is gone by then, and nobody may know the server's name any more.
func TestForgetAgain(t *testing.T) {
	for name, fail := range map[string]func(f *fixture, err error){
		"it is not removed":      func(f *fixture, err error) { f.removeErr = err },
		"a node does not answer": func(f *fixture, err error) { f.toldErr = err },
	} {
		f := gone()
		g := f.forgetter(t)
		fail(f, errors.New("try again"))
		if _, err := g.Forget(t.Context(), "n3"); err == nil || !strings.Contains(err.Error(), "try again") {
			t.Fatalf("%s: %v", name, err)
		}
		if len(f.told) != 1 || f.told[0].Removed {
			t.Fatalf("%s: %+v", name, f.told)
		}
		fail(f, nil)
		first := f.told[0]
		f.nameless("c")
		answer, err := g.Forget(t.Context(), "n3")
		if err != nil || !strings.Contains(answer.Said, `server "n3-c" of node "n3" is removed`) {
			t.Fatalf("%s: %+v %v", name, answer, err)
		}
		if first.Removed = true; !slices.Equal(f.told, []board.Forgotten{first}) {
			t.Fatalf("%s: %+v is written down, not the same again: %+v", name, f.told, first)
		}
		if answer, err = g.Forget(t.Context(), "n3"); err != nil || !strings.Contains(answer.Said, "is forgotten") {
			t.Fatalf("%s, and a third time: %+v %v", name, answer, err)
		}
	}
}

// A removal that was done, but not answered in time, counts once somebody looks.
func TestForgetEnded(t *testing.T) {
	for node, f := range map[string]*fixture{"n3": gone(), "n2": emptied()} {
		g := f.forgetter(t)
		remove := g.o.Remove
		g.o.Remove = func(ctx context.Context, id string) error {
			return errors.Join(remove(ctx, id), context.DeadlineExceeded)
		}
		if _, err := g.Forget(t.Context(), node); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		answer, err := g.Forget(t.Context(), node)
		if err != nil || answer.Server == "" || !strings.Contains(answer.Said, "is removed") || !f.told[0].Removed {
			t.Fatalf("%s: %+v %v %+v", node, answer, err, f.told)
		}
		if _, err := g.Forget(t.Context(), "n1"); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
}

// A node has the server of before forgotten only if there is one by name: who else is missing is not its business.
func TestFormer(t *testing.T) {
	for name, c := range map[string]struct {
		of   *fixture
		node string
		want bool
	}{
		"emptied": {emptied(), "n2", true}, "another one": {emptied(), "n1", false}, "all are there": {gone(), "n1", false},
	} {
		if got := c.of.facts(c.node).hasFormer(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	f := emptied()
	f.nameless("old")
	if f.facts("n2").hasFormer() {
		t.Error("a server that nobody knows is taken for the node's own")
	}
}
