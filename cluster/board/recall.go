package board

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ErrOlder says that a copy ends before what it had once: it was put back from an older one.
var ErrOlder = errors.New("an older state of this node")

// Recall asks the other nodes how far this node's copies were when they last heard of them, and returns an error with
// ErrOlder if one of `own` ends before that. It is for a node that has told nothing yet, and takes 2 s at most. Who
// does not answer then is asked when it is heard for the first time, and Options.Older is told.
func (b *Board) Recall(ctx context.Context, own []CellStatus) error {
	list, err := b.recall(ctx)
	if err != nil {
		return err
	}
	return older(b.o.Node, own, list)
}

// recall returns what the others remember of this node. Whoever is there answers in time.
func (b *Board) recall(ctx context.Context) (all []Position, err error) {
	ctx, cancel := context.WithTimeout(ctx, recallWait)
	defer cancel()
	inbox := b.o.Conn.NewInbox()
	sub, err := b.o.Conn.SubscribeSync(inbox)
	if err == nil {
		defer func() { _ = sub.Unsubscribe() }() // The connection is closed, then.
		err = b.o.Conn.PublishRequest(recallSubject(b.o.Cluster), inbox, []byte(b.o.Node))
	}
	if err != nil {
		return nil, fmt.Errorf("ask the other nodes what they remember: %w", err)
	}
	for range b.others() {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break
		}
		list, err := decodeRecalled(m.Data)
		if err != nil {
			b.o.Logger.Warn("what a node remembers is not understood", "error", err)
			continue
		}
		all = append(all, list...)
	}
	return all, nil
}

// others returns how many nodes there were when positions were written last, without this one; nodesMax: nobody knows.
func (b *Board) others() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := map[string]bool{}
	for at := range b.positions.newest {
		names[at.node] = true
	}
	delete(names, b.o.Node)
	if len(names) == 0 {
		return nodesMax
	}
	return len(names)
}

// older compares copies with what somebody remembers of them.
func older(node string, own []CellStatus, remembered []Position) error {
	for _, c := range own {
		for _, p := range remembered {
			same := p.Cell == c.Cell && p.Node == node && p.Stream == c.Stream && p.Copy == c.Copy
			if same && (p.Group > c.Group || p.Group == c.Group && p.Chain != c.Chain) {
				return fmt.Errorf("%w: cell %d ends with group %d here, and others remember that this node had group %d; "+
					"empty its data directory, and it is copied anew from another node", ErrOlder, c.Cell, c.Group, p.Group)
			}
		}
	}
	return nil
}

// answer answers another node's Recall.
func (b *Board) answer(m *nats.Msg) {
	node := string(m.Data)
	if m.Reply == "" || ValidName(node) != nil || node == b.o.Node {
		return
	}
	b.mu.Lock()
	list := b.positions.by(node)
	b.mu.Unlock()
	content, err := json.Marshal(list)
	if err == nil {
		err = m.Respond(content)
	}
	if err != nil {
		b.o.Logger.Warn("a node was not told what is remembered of it", "node", node, "error", err)
	}
}

// decodeRecalled reads an answer.
func decodeRecalled(b []byte) ([]Position, error) {
	if len(b) > messageBytesMax {
		return nil, fmt.Errorf("%d bytes, %d at most", len(b), messageBytesMax)
	}
	var list []Position
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("positions: %w", err)
	}
	for i := range list {
		if err := list[i].validate(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// compare asks the others what they remember, and whom they have forgotten, whenever one of them is new, until ctx
// ends. This node's own groups are looked at after that: meanwhile it may have told more.
func (b *Board) compare(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.met:
		}
		list, err := b.recall(ctx)
		if err != nil {
			continue // The connection is closed.
		}
		b.mu.Lock()
		own := b.own.Cells
		b.mu.Unlock()
		if err := older(b.o.Node, own, list); err != nil && b.o.Older != nil {
			b.o.Older(err)
		}
		others := b.others()
		if err := b.askNotes(ctx, nil, func(string) bool { others--; return others > 0 }); err != nil {
			continue // The connection is closed.
		}
	}
}
