package forget

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// others refuses if any other server is not well, unless it is dead, too, and that is harmless.
//
// Further servers may be dead while one is removed if a majority of all servers is well, and no stream has replicas on
// two of the dead. Then the removal is recorded by the majority; each stream that loses a replica has a majority of
// which each has everything, and gets another one on a server that is well; and all of the dead together, should they
// come back, are a majority of nothing. A stream with two replicas on dead servers has nobody who can change it, and
// what its last replica lacks it must not be made to forget.
func (f *Facts) others(dead Peer, found bool) error {
	var also []Peer
	well := 0
	for _, p := range f.Servers {
		switch {
		case found && p.ID == dead.ID:
		case p.Offline:
			also = append(also, p)
		case !p.Current:
			return refuseYet("server %s is behind, too: wait until it is well", p.name())
		default:
			well++
		}
	}
	if need := len(f.Servers)/2 + 1; len(also) > 0 && well < need {
		return refuseYet("server %s is offline, too, and %d of %d servers are well, %d must be: start its node",
			also[0].name(), well, len(f.Servers), need)
	}
	if n, is := f.removing(dead); len(also) > 0 && is {
		return refuse("the server of node %q is being removed: forget that node first, as often as it takes", n)
	}
	return f.streams(dead, found, also, well)
}

// removing returns the node of another server that is to be removed and has not been.
func (f *Facts) removing(dead Peer) (node string, is bool) {
	for _, p := range f.Servers {
		if n, noted := f.note(p.ID); noted && p.ID != dead.ID && !n.Removed {
			return n.Node, true
		}
	}
	return "", false
}

// streams refuses if a stream has too few replicas that are well.
func (f *Facts) streams(dead Peer, found bool, also []Peer, well int) error {
	var silent, twice []string
	var yet error
	for _, s := range f.Streams {
		if s.Silent {
			silent = append(silent, strconv.Itoa(s.Cell))
			continue
		}
		left, down := 0, 0
		for _, p := range s.Peers {
			switch {
			case found && p.is(dead), p.Offline && slices.ContainsFunc(also, p.is):
				down++
			case p.Offline || !p.Current:
				yet = refuseYet("server %s has a replica of cell %d and is %s: wait until it is well", p.name(), s.Cell, p.state())
			default:
				left++
			}
		}
		switch need := s.Replicas/2 + 1; {
		case down > 1:
			twice = append(twice, strconv.Itoa(s.Cell))
		case yet != nil:
		case left < need:
			return refuse("%d servers would have cell %d, %d are too few: start a new node first", left, s.Cell, need)
		case len(also) > 0 && len(s.Peers) < s.Replicas:
			yet = refuseYet("replicas of cell %d are still being made: wait until they are there", s.Cell)
		case len(also) > 0 && well < s.Replicas:
			return refuse("%d servers are well, and cells have %d replicas: start a new node first", well, s.Replicas)
		}
	}
	switch {
	case len(twice) > 0:
		return refuse("%s: two replicas are on servers that are dead, and nothing else is known to have all of it: start "+
			"one of these nodes", cellsOf(twice))
	case len(silent) > 0:
		return refuseYet("%s: nobody leads the stream, as when two of its servers are dead: start one of these nodes",
			cellsOf(silent))
	}
	return yet
}

func cellsOf(list []string) string {
	if len(list) == 1 {
		return "cell " + list[0]
	}
	return fmt.Sprintf("cells %s", strings.Join(list, ", "))
}

// othersDead reports whether a server is dead that was not of the node.
func (f *Facts) othersDead() bool {
	return slices.ContainsFunc(f.Servers, func(p Peer) bool { return p.Offline && !f.isOf(p) })
}

// Whole returns how many streams have not all the replicas that they can have with so many servers. Those on servers
// that are dead, too, count: they stay until that server is forgotten.
func (f *Facts) Whole() (lacking int) {
	for _, s := range f.Streams {
		want := min(s.Replicas, len(f.Servers))
		bad := func(p Peer) bool {
			isDead := slices.ContainsFunc(f.Servers, func(server Peer) bool { return server.Offline && p.is(server) })
			return p.Offline && !isDead || !p.Offline && !p.Current
		}
		if s.Silent || len(s.Peers) < want || slices.ContainsFunc(s.Peers, bad) {
			lacking++
		}
	}
	return lacking
}

// onDead returns how many streams have a replica on a server that is dead.
func (f *Facts) onDead() (n int) {
	for _, s := range f.Streams {
		if slices.ContainsFunc(s.Peers, func(p Peer) bool { return p.Offline }) {
			n++
		}
	}
	return n
}
