package board

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrForgotten says that this node's server of NATS was removed from the cluster while it was away, or is to be. What
// its Raft logs acknowledged once counts for nothing any more.
var ErrForgotten = errors.New("this node was forgotten")

var errNoServer = errors.New("a server has a node, a name, and what others know it by")

// Server is a server of NATS in the process of a node. Another directory is another server.
type Server struct {
	Node string `json:"node"`
	Name string `json:"name"`
	ID   string `json:"id"` // what the other servers know it by
}

func (s Server) validate() error {
	if s.Name == "" || len(s.Name) > 2*wordBytesMax || len(s.ID) > wordBytesMax {
		return errNoServer
	}
	return ValidName(s.Node)
}

// Forgotten is a server that does not come back, or a node, or both. One without an ID is a node whose server is the
// operator's. Its server may have no name, if nobody had heard it for long.
type Forgotten struct {
	Server
	AtMs int64 `json:"at_ms"` // when, Unix milliseconds: a node of the same name may be forgotten again
	// Gone says that the node is forgotten with it: its row and its positions.
	Gone bool `json:"gone,omitempty"`
	// Removed says that the other servers have removed this one. Until then it is to be, and may be one of them still.
	Removed bool `json:"removed,omitempty"`
}

// lists are what nodes remember of servers.
type lists struct {
	Servers   []Server    `json:"servers,omitempty"`
	Forgotten []Forgotten `json:"forgotten,omitempty"`
}

func (l *lists) validate() error {
	if len(l.Servers) > serversMax || len(l.Forgotten) > serversMax {
		return fmt.Errorf("%d servers and %d that were forgotten, %d at most", len(l.Servers), len(l.Forgotten), serversMax)
	}
	for _, s := range l.Servers {
		if err := s.validate(); err != nil {
			return err
		}
	}
	for _, f := range l.Forgotten {
		switch err := ValidName(f.Node); {
		case err != nil:
			return err
		case f.ID == "" && !f.Gone, len(f.Name) > 2*wordBytesMax, len(f.ID) > wordBytesMax:
			return errNoServer
		}
	}
	return nil
}

// notes is a message: what a node remembers, or is to remember from now on. An empty one is a question.
type notes struct {
	Version int    `json:"v"`
	Node    string `json:"node"`
	lists
}

func decodeNotes(b []byte) (n notes, err error) {
	if len(b) > messageBytesMax {
		return n, fmt.Errorf("%d bytes, %d at most", len(b), messageBytesMax)
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("notes of a node: %w", err)
	}
	if n.Version != formatVersion {
		return n, fmt.Errorf("notes of version %d: this meterd reads version %d", n.Version, formatVersion)
	}
	return n, errors.Join(ValidName(n.Node), n.lists.validate())
}

// meet remembers a server that a node has, and says whether that is news.
func (p *Positions) meet(s Server) bool {
	if s.Name == "" || slices.Contains(p.servers, s) {
		return false
	}
	p.servers = append(p.servers, s)
	if n := len(p.servers) - serversMax; n > 0 {
		p.servers = slices.Delete(p.servers, 0, n)
	}
	return true
}

// forgets reports whether a server was forgotten.
func (p *Positions) forgets(s Server) bool {
	_, is := noteOf(p.forgotten, s.ID)
	return is
}

// noteOf returns what is written down of a server, false if nothing is.
func noteOf(list []Forgotten, id string) (Forgotten, bool) {
	i := slices.IndexFunc(list, func(f Forgotten) bool { return id != "" && f.ID == id })
	if i < 0 {
		return Forgotten{}, false
	}
	return list[i], true
}

// confirm has all that is written down of a server say that it is removed, if any of it or f does, and says whether
// that is news.
func (p *Positions) confirm(f *Forgotten) (news bool) {
	if f.ID == "" {
		return false
	}
	is := func(o Forgotten) bool { return o.ID == f.ID && o.Removed }
	if f.Removed = f.Removed || slices.ContainsFunc(p.forgotten, is); !f.Removed {
		return false
	}
	for i := range p.forgotten {
		if o := &p.forgotten[i]; o.ID == f.ID && !o.Removed {
			o.Removed, news = true, true
		}
	}
	return news
}

// dropOldest deletes what was forgotten first. What is still to be removed stays as long as there is anything else:
// nobody could do it again.
func (p *Positions) dropOldest() {
	i := slices.IndexFunc(p.forgotten, func(f Forgotten) bool { return f.ID == "" || f.Removed })
	i = max(i, 0)
	p.forgotten = slices.Delete(p.forgotten, i, i+1)
}

// drops reports whether a node is forgotten whose server is `now`, if it is heard.
func (f *Forgotten) drops(now Server) bool {
	return f.Gone && (now == Server{} || now.ID != "" && now.ID == f.ID)
}

// forget takes what was forgotten, and says whether that is news; now is the node's server if it is heard. What a
// stream once had (Longest) stays known: it is what nobody may go back behind.
func (p *Positions) forget(f Forgotten, now Server) (news bool) {
	if slices.Contains(p.forgotten, f) {
		return false
	}
	p.servers = slices.DeleteFunc(p.servers, func(s Server) bool { return s.ID == f.ID })
	p.forgotten = append(p.forgotten, f)
	if len(p.forgotten) > serversMax {
		p.dropOldest()
	}
	if f.drops(now) {
		for at := range p.newest {
			if at.node == f.Node {
				delete(p.newest, at)
			}
		}
	}
	return true
}

// Knows reports whether a node has told a position or a server once, and was not forgotten since.
func (p *Positions) Knows(node string) bool {
	return len(p.by(node)) > 0 || slices.ContainsFunc(p.servers, func(s Server) bool { return s.Node == node })
}

// Nodes returns all nodes that have told a position and were not forgotten since.
func (p *Positions) Nodes() (list []string) {
	for at := range p.newest {
		list = append(list, at.node)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ServerOf returns the server that has, or had, this ID; false if nobody has told.
func (p *Positions) ServerOf(id string) (Server, bool) {
	i := slices.IndexFunc(p.servers, func(s Server) bool { return s.ID == id })
	if i < 0 {
		return Server{}, false
	}
	return p.servers[i], true
}

// Forgotten returns what is remembered of those that were forgotten.
func (b *Board) Forgotten() []Forgotten {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.positions.forgotten)
}

// merge takes another node's notes. It returns an error if who was forgotten is not on this node's disk.
func (b *Board) merge(n notes) error {
	b.mu.Lock()
	for _, s := range n.Servers {
		if !b.positions.forgets(s) {
			b.dirty = b.positions.meet(s) || b.dirty
		}
	}
	var learnt []Forgotten
	for _, f := range n.Forgotten {
		if b.forgetNode(f) {
			learnt = append(learnt, f)
		}
	}
	note, own := noteOf(b.positions.forgotten, b.o.Server.ID)
	b.mu.Unlock()
	for _, f := range learnt {
		b.o.Logger.Warn("a server, or all of a node, was forgotten", "node", f.Node, "server", f.Name, "gone", f.Gone)
	}
	if own && b.o.Older != nil {
		b.o.Older(forgottenError(b.o.Server, note))
	}
	if len(n.Forgotten) == 0 {
		return nil
	}
	if err := b.write(); err != nil { // Also what is no news: it may not have been written the first time.
		return fmt.Errorf("write down who was forgotten: %w", err)
	}
	return nil
}

// forgetNode is called with the lock held.
func (b *Board) forgetNode(f Forgotten) (news bool) {
	b.dirty = b.positions.confirm(&f) || b.dirty
	e := b.table.nodes[f.Node]
	var now Server
	switch {
	case f.Node == b.o.Node:
		now = b.own.Server
		if now == (Server{}) {
			now = Server{Node: f.Node}
		}
	case e != nil && time.Since(e.heard) <= silentAfter:
		now = e.status.Server
		if now == (Server{}) { // It is heard, and its server is the operator's.
			now = Server{Node: f.Node}
		}
	}
	if !b.positions.forget(f, now) {
		return false
	}
	if f.drops(now) && f.Node != b.o.Node {
		delete(b.table.nodes, f.Node)
		b.owners.Store(b.table.owners())
		close(b.changed)
		b.changed = make(chan struct{})
	}
	b.dirty = true
	return true
}

// forgottenError says what to do with a node's directory.
func forgottenError(s Server, note Forgotten) error {
	if !note.Removed {
		return fmt.Errorf("%w: its server %q is being removed from the cluster; if that has failed, do it again (meterd "+
			"ctl cluster forget %s, through another node); then empty its data directory, and start it again: it joins as a "+
			"new node", ErrForgotten, s.Name, s.Node)
	}
	return fmt.Errorf("%w: its server %q was removed from the cluster; empty its data directory, and start it again: it "+
		"joins as a new node", ErrForgotten, s.Name)
}

// Forget has this node and those named in `nodes` remember what is forgotten, on their disks. It returns an error if
// one of them does not answer, as one does not that cannot write. It can be called again with the same list.
func (b *Board) Forget(ctx context.Context, list []Forgotten, nodes []string) error {
	n := notes{Version: formatVersion, Node: b.o.Node, lists: lists{Forgotten: list}}
	if err := n.lists.validate(); err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	if err := b.merge(n); err != nil {
		return err
	}
	if len(nodes) == 0 {
		return nil
	}
	missing := slices.Clone(nodes)
	err := b.askNotes(ctx, &n, func(node string) bool {
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == node })
		return len(missing) > 0
	})
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("node %q does not answer: look at its log, and try again", missing[0])
	}
	return nil
}

// askNotes asks for notes, and has others take n if it is given, for 2 s or until more says that nobody else is waited
// for.
func (b *Board) askNotes(ctx context.Context, n *notes, more func(node string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, recallWait)
	defer cancel()
	var content []byte
	if n != nil {
		var err error
		if content, err = json.Marshal(n); err != nil {
			return fmt.Errorf("ask the other nodes: %w", err)
		}
	}
	return gatherNotes(ctx, b.o.Conn, b.o.Cluster, content, func(n notes) bool {
		if n.Node == b.o.Node {
			return true
		}
		if err := b.merge(n); err != nil {
			b.o.Logger.Error("what another node remembers is not kept", "node", n.Node, "error", err)
		}
		return more(n.Node)
	})
}

// gatherNotes asks for notes until fn returns false or ctx ends; each node is given to fn once.
func gatherNotes(ctx context.Context, conn *nats.Conn, cluster string, content []byte, fn func(notes) bool) error {
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask the other nodes: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // The connection is closed, then.
	heard := map[string]bool{}
	isNew := func(n notes) bool {
		is := !heard[n.Node]
		heard[n.Node] = true
		return is
	}
	for ctx.Err() == nil {
		if err := conn.PublishRequest(notesSubject(cluster), inbox, content); err != nil {
			return fmt.Errorf("ask the other nodes: %w", err)
		}
		if more, err := hearAnswers(ctx, sub, func(n notes) bool { return !isNew(n) || fn(n) }); err != nil || !more {
			return err
		}
	}
	return nil
}

// hearAnswers gives answers to fn for askAgain, and reports whether fn wants more.
func hearAnswers(ctx context.Context, sub *nats.Subscription, fn func(notes) bool) (more bool, err error) {
	ctx, stop := context.WithTimeout(ctx, askAgain)
	defer stop()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrConnectionClosed):
			return false, fmt.Errorf("ask the other nodes: %w", err)
		case err != nil:
			return true, nil // Connections between servers may not be there yet.
		}
		// An answer that is not understood says nothing: nobody answers, or it has another version.
		if n, err := decodeNotes(m.Data); err == nil && !fn(n) {
			return false, nil
		}
	}
}

// notes returns what this node remembers.
func (b *Board) notes() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return encodeNotes(b.o.Node, b.positions)
}

func encodeNotes(node string, p *Positions) ([]byte, error) {
	content, err := json.Marshal(notes{Version: formatVersion, Node: node, lists: lists{p.servers, p.forgotten}})
	if err != nil {
		return nil, fmt.Errorf("tell whom this node remembers: %w", err)
	}
	return content, nil
}

// hearNotes takes what another node says was forgotten, and answers what is remembered here.
func (b *Board) hearNotes(m *nats.Msg) {
	if len(m.Data) > 0 {
		n, err := decodeNotes(m.Data)
		if err != nil {
			b.o.Logger.Warn("whom a node has forgotten is not understood: has it another version of meterd?", "error", err)
			return
		}
		if n.Node != b.o.Node {
			err = b.merge(n)
		}
		if err != nil { // Whoever asks would take an answer for "it is written".
			b.o.Logger.Error("what another node remembers is not kept", "node", n.Node, "error", err)
			return
		}
	}
	if m.Reply == "" {
		return
	}
	content, err := b.notes()
	if err == nil {
		err = m.Respond(content)
	}
	if err != nil {
		b.o.Logger.Warn("a node was not told whom this one remembers", "error", err)
	}
}

// tellNotes tells all nodes.
func (b *Board) tellNotes() {
	content, err := b.notes()
	if err == nil {
		err = b.o.Conn.Publish(notesSubject(b.o.Cluster), content)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		b.o.Logger.Warn("the other nodes are not told whom this one remembers", "error", err)
	}
}

// NodeOf returns the node in whose process a server of this name would be, empty if the name has not that form.
func NodeOf(server string) string {
	i := strings.LastIndexByte(server, '-')
	if i < 0 || ValidName(server[:i]) != nil {
		return ""
	}
	return server[:i]
}
