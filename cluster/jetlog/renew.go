package jetlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrGone says that a stream is not there any more.
var ErrGone = errors.New("the stream is gone: its cell must be repaired, a new one begins behind the longest copy")

// Peer is a server that has a replica of a stream.
type Peer struct {
	Name    string
	Current bool // it has what the leader has, as far as the leader knows
	Offline bool // it was not heard for a time by the others
	// Lag is how many messages are acknowledged that the leader does not know it to have; 0 beside !Current: it is not
	// known.
	Lag uint64
}

// Look looks at a cell's stream and makes none. It returns what the stream was made with and who has replicas of it, as
// far as servers say so; ErrGone if it is not there, and ErrRefused for what Make refuses.
func Look(ctx context.Context, conn *nats.Conn, s Settings) (m Made, peers []Peer, err error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return m, nil, fmt.Errorf("use JetStream: %w", err)
	}
	found, err := js.Stream(ctx, s.StreamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return m, nil, fmt.Errorf("stream %q: %w", s.StreamName(), ErrGone)
	}
	if err != nil {
		return m, nil, fmt.Errorf("look at stream %q: %w", s.StreamName(), err)
	}
	info := found.CachedInfo()
	if m, err = s.Examine(info.Config); err != nil {
		return m, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if info.Cluster == nil {
		return m, nil, nil
	}
	if info.Cluster.Leader != "" {
		peers = append(peers, Peer{Name: info.Cluster.Leader, Current: true})
	}
	for _, r := range info.Cluster.Replicas {
		peers = append(peers, Peer{Name: r.Name, Current: r.Current, Offline: isOffline(r), Lag: r.Lag})
	}
	return m, peers, nil
}

// isOffline reports whether a replica takes no part in acknowledgements: the stream's leader does not hear it. Servers
// say that themselves only half a minute after a network was cut.
func isOffline(p *jetstream.PeerInfo) bool {
	return p.Offline || p.Active > peerSilentMax || p.Active == 0 && !p.Current
}

// Renew begins a cell's stream anew behind node's copy: it removes what is there and makes one with another identity,
// which that node begins. prove proves the copy, which may take long, and returns its last group. Renew refuses if the
// stream that is there has a group behind that one, or has grown meanwhile: somebody owns the cell, then.
func Renew(
	ctx context.Context, conn *nats.Conn, s Settings, old Made, node string, prove func() (last uint64, err error),
) (Made, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return Made{}, fmt.Errorf("use JetStream: %w", err)
	}
	j, err := Connect(conn, s.StreamName())
	if err != nil {
		return Made{}, err
	}
	defer j.Close()
	before, err := j.Size(ctx)
	if err != nil && !errors.Is(err, ErrGone) {
		return Made{}, err
	}
	last, err := prove()
	if err != nil {
		return Made{}, err
	}
	if err := mayRemove(ctx, j, before.Last, last); err != nil {
		return Made{}, fmt.Errorf("stream %q: %w", s.StreamName(), err)
	}
	err = js.DeleteStream(ctx, s.StreamName())
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return Made{}, fmt.Errorf("remove stream %q: %w", s.StreamName(), err)
	}
	made := old.renewed(node)
	info, err := js.CreateStream(ctx, s.config(made))
	if err != nil {
		return Made{}, fmt.Errorf("make stream %q anew: %w; repair the cell again", s.StreamName(), err)
	}
	return s.Examine(info.CachedInfo().Config)
}

// mayRemove refuses to remove a stream that has a message behind `before` or a group behind `last`. What is damaged in
// it says nothing.
func mayRemove(ctx context.Context, j *JetStream, before, last uint64) error {
	size, err := j.Size(ctx)
	switch {
	case errors.Is(err, ErrGone):
		return nil
	case err != nil:
		return err
	case size.Last > before:
		return fmt.Errorf("it has grown from message %d to %d while the copy was proved: somebody owns the cell, nothing "+
			"is to be repaired", before, size.Last)
	}
	for seq := size.Last; seq >= size.First && seq > 0; seq-- {
		m, err := j.Get(ctx, seq)
		if err != nil {
			return err
		}
		has, err := decodeMessage(m.Data)
		if err != nil {
			continue
		}
		group := has.behind()
		if has.kind == kindHead {
			group = has.group
		}
		if group > last {
			return fmt.Errorf("it has group %d, and the longest copy ends with group %d: nothing needs to be removed",
				group, last)
		}
		return nil
	}
	return nil
}
