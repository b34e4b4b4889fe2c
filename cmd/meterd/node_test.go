package main

import (
	"slices"
	"testing"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/servers"
)

// A node that is told to stop says so while it drains: no cell is handed to it.
func TestLeavingIsTold(t *testing.T) {
	n := &node{state: board.Ready}
	if got := n.told(); got != board.Ready {
		t.Fatal(got)
	}
	n.leaving.Store(true)
	if got := n.told(); got != board.Leaving {
		t.Fatal(got)
	}
}

// Twelve streams on three servers have three servers.
func TestPeersAreListedOnce(t *testing.T) {
	var list []servers.Peer
	for cell := range 12 {
		for _, name := range []string{"n1", "n2", "n3"} {
			list = addPeer(list, servers.Peer{Name: name, Offline: name == "n3" || name == "n2" && cell < 6})
		}
	}
	if want := []servers.Peer{{Name: "n1"}, {Name: "n2"}, {Name: "n3", Offline: true}}; !slices.Equal(list, want) {
		t.Fatal(list)
	}
}

// A replica that lacks what is just on its way to it is not missing.
func TestMissingReplicas(t *testing.T) {
	well, gone := jetlog.Peer{Current: true}, jetlog.Peer{Current: true, Offline: true}
	near, far := jetlog.Peer{Lag: 1}, jetlog.Peer{Lag: replicaLagMax + 1}
	for _, c := range []struct {
		replicas int
		peers    []jetlog.Peer
		want     int
	}{
		{1, nil, 0},
		{3, nil, 3},
		{3, []jetlog.Peer{well, well, well}, 0},
		{3, []jetlog.Peer{well, near, well}, 0},
		{3, []jetlog.Peer{well, far, well}, 1},
		{3, []jetlog.Peer{well, {}, gone}, 2},
		{3, []jetlog.Peer{well, well}, 1},
	} {
		if got := missingOf(c.replicas, c.peers); got != c.want {
			t.Errorf("%d replicas, %+v: %d missing, not %d", c.replicas, c.peers, got, c.want)
		}
	}
}
