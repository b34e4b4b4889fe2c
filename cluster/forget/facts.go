package forget

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meterd/meterd/cluster/board"
)

// Peer is a server in a group: that of all servers, or of a stream.
type Peer struct {
	ID      string // what the servers know it by: a hash of the name
	Name    string // a server that the group's leader has not heard since its start has none: its ID is in it
	Current bool
	Offline bool
}

// Stream is that of a cell.
type Stream struct {
	Cell     int
	Replicas int // how many it was made with
	Peers    []Peer
	Silent   bool // nobody leads it, so that nothing is known of it
}

// Facts are what is known when somebody asks to forget a node.
type Facts struct {
	Node      string
	Nodes     []board.Status // as they were heard
	Positions *board.Positions
	Notes     []board.Forgotten // what this node has written down of servers and nodes that were forgotten
	Servers   []Peer            // empty: they are the operator's
	Streams   []Stream
}

// ErrRefused says that nothing was done, and why.
var ErrRefused = errors.New("nothing was forgotten")

// errNotYet says that a refusal may be over in a moment.
var errNotYet = errors.New("it was waited for")

func refuseYet(format string, args ...any) error {
	return fmt.Errorf("%w (%w)", refuse(format, args...), errNotYet)
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// heard returns the node as it is heard now, false if it is silent or unknown.
func (f *Facts) heard() (board.Status, bool) {
	i := slices.IndexFunc(f.Nodes, func(n board.Status) bool { return n.Node == f.Node })
	if i < 0 || f.Nodes[i].State == board.Silent {
		return board.Status{}, false
	}
	return f.Nodes[i], true
}

// Others returns the other nodes that are heard. One that is silent learns who was forgotten when it is back.
func (f *Facts) Others() (list []string) {
	for i := range f.Nodes {
		if n := &f.Nodes[i]; n.Node != f.Node && n.State != board.Silent {
			list = append(list, n.Node)
		}
	}
	return list
}

// Dead returns the server to remove, false if none is to be: only what is known of the node is forgotten.
func (f *Facts) Dead() (dead Peer, found bool, err error) {
	now, heard := f.heard()
	if heard && len(f.Servers) == 0 {
		return dead, false, refuse("node %q is heard: stop it first", f.Node)
	}
	for _, p := range f.Servers {
		switch {
		case heard && p.ID == now.Server.ID:
		case !f.isOf(p):
		case found:
			return dead, false, refuse("servers %s and %s were both of node %q: that two are dead at once is more than can be "+
				"mended here", dead.name(), p.name(), f.Node)
		default:
			dead, found = p, true
		}
	}
	_, ended := f.ended()
	switch {
	case heard && !found && !ended:
		return dead, false, refuse("node %q is heard, and no other server was ever its own: stop it first if it never comes "+
			"back", f.Node)
	case !found && !f.known() && !f.noted():
		return dead, false, refuse("there is no node %q", f.Node)
	case found && !dead.Offline:
		return dead, false, refuseYet("server %s of node %q is online: stop its process", dead.name(),
			f.Node)
	}
	return dead, found, f.others(dead, found)
}

// isOf reports whether a server was of the node: as is written down, as nodes have told, by its name, or because it is
// dead and no other node is missing.
func (f *Facts) isOf(p Peer) bool {
	if n, noted := f.note(p.ID); noted { // It was to be removed once, and what told its node is deleted since.
		return n.Node == f.Node
	}
	if s, known := f.Positions.ServerOf(p.ID); known {
		return s.Node == f.Node
	}
	if !p.unnamed() {
		return board.NodeOf(p.Name) == f.Node
	}
	return p.Offline && f.known() && !f.othersMissing()
}

// othersMissing reports whether another node that is known is not heard.
func (f *Facts) othersMissing() bool {
	heard := f.Others()
	missing := func(node string) bool { return node != f.Node && !slices.Contains(heard, node) }
	return slices.ContainsFunc(f.Positions.Nodes(), missing) ||
		slices.ContainsFunc(f.Nodes, func(n board.Status) bool { return missing(n.Node) })
}

// known reports whether anybody knows the node.
func (f *Facts) known() bool {
	return f.Positions.Knows(f.Node) || slices.ContainsFunc(f.Nodes, func(n board.Status) bool { return n.Node == f.Node })
}

// note returns what is written down of a server, false if nothing is.
func (f *Facts) note(id string) (board.Forgotten, bool) {
	i := slices.IndexFunc(f.Notes, func(n board.Forgotten) bool { return n.ID != "" && n.ID == id })
	if i < 0 {
		return board.Forgotten{}, false
	}
	return f.Notes[i], true
}

// noted reports whether the node was to be forgotten once: whoever asks again is told that it is.
func (f *Facts) noted() bool {
	return slices.ContainsFunc(f.Notes, func(n board.Forgotten) bool { return n.Node == f.Node })
}

// ended returns what is written down of a removal of which nobody has seen the end, although there is one: that server
// of the node is none of the servers any more.
func (f *Facts) ended() (board.Forgotten, bool) {
	i := slices.IndexFunc(f.Notes, func(n board.Forgotten) bool {
		is := func(p Peer) bool { return p.ID == n.ID }
		return n.Node == f.Node && n.ID != "" && !n.Removed && !slices.ContainsFunc(f.Servers, is)
	})
	if i < 0 || len(f.Servers) == 0 {
		return board.Forgotten{}, false
	}
	return f.Notes[i], true
}

// toNote returns what is to be written down when that server is removed: the same as before if it is tried again.
func (f *Facts) toNote(dead Peer, found bool, atMs int64) board.Forgotten {
	_, heard := f.heard()
	if n, ended := f.ended(); ended && !found && (n.Gone || heard) {
		n.Removed = true
		return n
	}
	if n, noted := f.note(dead.ID); noted && n.Gone == !heard {
		return n
	}
	n := board.Forgotten{Server: board.Server{Node: f.Node, ID: dead.ID}, AtMs: atMs, Gone: !heard}
	if !dead.unnamed() {
		n.Name = dead.Name
	}
	return n
}

// Short returns how many streams have fewer replicas than they were made with.
func (f *Facts) Short() (n int) {
	for _, s := range f.Streams {
		if len(s.Peers) < s.Replicas {
			n++
		}
	}
	return n
}

// unknownName is how a server calls another one whose name it has not heard since its start.
const unknownName = "Server name unknown"

func (p Peer) unnamed() bool { return p.Name == "" || strings.HasPrefix(p.Name, unknownName) }

// is compares a replica of a stream with a server, which each of the two groups may know without its name.
func (p Peer) is(server Peer) bool {
	return p.ID == server.ID || p.unnamed() && strings.Contains(p.Name, server.ID)
}

// named gives servers the names that nodes have told.
func (f *Facts) named() {
	for i := range f.Servers {
		p := &f.Servers[i]
		if !p.unnamed() {
			continue
		}
		if s, known := f.Positions.ServerOf(p.ID); known {
			p.Name = s.Name
		} else if n, noted := f.note(p.ID); noted {
			p.Name = n.Name
		}
	}
}

func (p Peer) name() string {
	if p.unnamed() {
		return p.ID
	}
	return fmt.Sprintf("%q", p.Name)
}

func (p Peer) state() string {
	if p.Offline {
		return "offline"
	}
	return "behind"
}
