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
	Offline bool // it was not heard for a time by the others
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
		peers = append(peers, Peer{Name: info.Cluster.Leader})
	}
	for _, r := range info.Cluster.Replicas {
		peers = append(peers, Peer{Name: r.Name, Offline: isOffline(r)})
	}
	return m, peers, nil
}

// isOffline reports whether a replica takes no part in acknowledgements: the stream's leader does not hear it. Servers
// say that themselves only half a minute after a network was cut.
func isOffline(p *jetstream.PeerInfo) bool {
	return p.Offline || p.Active > peerSilentMax || p.Active == 0 && !p.Current
}

// Renew begins a cell's stream anew behind node's copy, which ends with group `last`: it removes what is there and
// makes one with another identity, which that node begins. It refuses if the stream that is there has a group behind
// that one.
func Renew(ctx context.Context, conn *nats.Conn, s Settings, old Made, node string, last uint64) (Made, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return Made{}, fmt.Errorf("use JetStream: %w", err)
	}
	if err := mayRemove(ctx, conn, s, last); err != nil {
		return Made{}, err
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

// mayRemove refuses to remove a stream that has a group behind `last`. What is damaged in it says nothing.
func mayRemove(ctx context.Context, conn *nats.Conn, s Settings, last uint64) error {
	j, err := Connect(conn, s.StreamName())
	if err != nil {
		return err
	}
	defer j.Close()
	first, end, err := j.Bounds(ctx)
	switch {
	case errors.Is(err, ErrGone):
		return nil
	case err != nil:
		return err
	}
	for seq := end; seq >= first && seq > 0; seq-- {
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
			return fmt.Errorf("stream %q has group %d, and the longest copy ends with group %d: nothing needs to be removed",
				s.StreamName(), group, last)
		}
		return nil
	}
	return nil
}
