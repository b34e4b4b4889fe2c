package jetlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Settings are of one stream.
type Settings struct {
	Cluster  string // a word of letters, digits, - and _
	Cell     int
	Replicas int
	BytesMax int64 // 0: 8 GiB
	// Identity is what this node knows the stream by; zeroes on a node that joins, which takes the stream's.
	Identity Identity
}

// StreamName returns the name of a cell's stream.
func (s Settings) StreamName() string { return fmt.Sprintf("M_%s_%d", s.Cluster, s.Cell) }

const (
	metadataCluster  = "meterd_cluster"
	metadataIdentity = "meterd_identity"
)

// config is how the stream is made. Nothing is ever dropped: a full stream refuses messages. The window for duplicates
// is as short as it can be, since no message has an id.
func (s Settings) config(id Identity) jetstream.StreamConfig {
	if s.BytesMax == 0 {
		s.BytesMax = streamBytesDefault
	}
	name := s.StreamName()
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subjectOf(name)}, Description: "commit log of meterd: leave it alone",
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		Replicas: s.Replicas, MaxBytes: s.BytesMax, MaxMsgs: -1, MaxMsgSize: MessageBytesMax + streamRoom,
		Duplicates: duplicatesMin, AllowDirect: true, DenyDelete: true,
		Metadata: map[string]string{metadataCluster: s.Cluster, metadataIdentity: hex.EncodeToString(id[:])},
	}
}

// Make makes a cell's stream, or looks at the one that is there, and returns its identity. It refuses one that was not
// made like this, and one of another cluster.
func Make(ctx context.Context, conn *nats.Conn, s Settings) (Identity, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return Identity{}, fmt.Errorf("use JetStream: %w", err)
	}
	if most := conn.MaxPayload(); most < MessageBytesMax+streamRoom {
		return Identity{}, fmt.Errorf("server %q takes messages of %d bytes: set max_payload to 1 MiB",
			conn.ConnectedServerName(), most)
	}
	found, err := js.Stream(ctx, s.StreamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.Identity == (Identity{}) {
		var id Identity
		rand.Read(id[:]) // It never fails: crypto/rand ends the process instead.
		found, err = js.CreateStream(ctx, s.config(id))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // Another node was first.
			found, err = js.Stream(ctx, s.StreamName())
		}
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.Identity != (Identity{}) {
		return Identity{}, fmt.Errorf("stream %q is gone: begin a new one behind the longest copy", s.StreamName())
	}
	if err != nil {
		return Identity{}, fmt.Errorf("make stream %q: %w", s.StreamName(), err)
	}
	info, err := found.Info(ctx)
	if err != nil {
		return Identity{}, fmt.Errorf("look at stream %q: %w", s.StreamName(), err)
	}
	return s.Examine(info.Config)
}

// Examine refuses the configuration of a stream that could lose groups, or is of another cluster, with a sentence for
// each fault, and returns the stream's identity.
func (s Settings) Examine(c jetstream.StreamConfig) (id Identity, err error) {
	raw, bad := hex.DecodeString(c.Metadata[metadataIdentity])
	if bad != nil || len(raw) != len(id) {
		return id, fmt.Errorf("stream %q was not made by meterd: choose another --cluster name, or remove it", c.Name)
	}
	copy(id[:], raw)
	if of := c.Metadata[metadataCluster]; of != s.Cluster || s.Identity != (Identity{}) && s.Identity != id {
		return id, fmt.Errorf("stream %q belongs to cluster %q with identity %x, this node to %q with %x: choose another "+
			"--cluster name", c.Name, of, id, s.Cluster, s.Identity)
	}
	want := s.config(id)
	var errs []error
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("stream %q "+format, append([]any{c.Name}, args...)...))
		}
	}
	demand(c.Replicas >= s.Replicas, "has %d replicas, %d were asked for: start more servers, or ask for fewer",
		c.Replicas, s.Replicas)
	demand(c.Storage == want.Storage, "is not stored in files")
	demand(c.PersistMode == want.PersistMode, "acknowledges before its disk has the data (persist_mode)")
	demand(c.Retention == want.Retention, "has the retention %v, which loses groups", c.Retention)
	demand(c.Discard == want.Discard, "drops old groups when it is full: set discard to new")
	demand(c.MaxAge == 0, "has max_age %v, which loses groups", c.MaxAge)
	demand(c.MaxMsgs <= 0, "has max_msgs %d, which loses groups", c.MaxMsgs)
	demand(c.MaxMsgsPerSubject <= 0, "has max_msgs_per_subject %d, which loses groups", c.MaxMsgsPerSubject)
	demand(c.MaxMsgSize <= 0 || c.MaxMsgSize >= want.MaxMsgSize, "takes messages of %d bytes, %d are needed",
		c.MaxMsgSize, want.MaxMsgSize)
	demand(c.DenyDelete, "lets messages be deleted")
	demand(!c.AllowRollup, "lets messages replace others (allow_rollup_hdrs)")
	demand(!c.AllowMsgTTL, "lets messages expire (allow_msg_ttl)")
	demand(c.AllowDirect, "cannot be read from each replica: set allow_direct")
	demand(!c.NoAck, "acknowledges nothing")
	demand(!c.Sealed, "is sealed")
	demand(c.Mirror == nil && len(c.Sources) == 0, "copies from other streams")
	demand(c.SubjectTransform == nil, "changes subjects")
	demand(slices.Equal(c.Subjects, want.Subjects), "takes the subjects %q, not %q", c.Subjects, want.Subjects)
	if errs != nil {
		return id, fmt.Errorf("%w; meterd makes its streams itself: put it back as it was", errors.Join(errs...))
	}
	return id, nil
}
