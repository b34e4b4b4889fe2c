package jetlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Settings are of one stream.
type Settings struct {
	Cluster string // a word of letters, digits, - and _
	Cell    int
	// Cells and Replicas are numbers of the cluster, fixed when it is made; 0: what it was made with, or by default.
	Cells, Replicas int
	Servers         int   // how many there are, by default as many replicas, ReplicasMax at most
	BytesMax        int64 // 0: 8 GiB, shared by all cells
	// Origin is what this node knows the cell's first stream by; zeroes on a node that joins, which takes the stream's.
	Origin Identity
	// Seed keys the device table's hash of a new stream; zeroes: a random one.
	Seed [16]byte
	// Begins is the node behind whose copy a new stream begins; empty: it has no copy.
	Begins string
}

// Made is what was fixed when a stream was made.
type Made struct {
	Identity        Identity
	Origin          Identity // of the cell's first stream; that of cell 0 is the cluster's
	Seed            [16]byte
	Cells, Replicas int
	// Begins is the node behind whose copy a stream begins: it took the place of another one, or the node was alone
	// before; empty: it began with nothing.
	Begins string
}

// renewed returns what a stream is made with that takes the place of m's.
func (m Made) renewed(node string) Made {
	m.Begins = node
	rand.Read(m.Identity[:]) // It never fails: crypto/rand ends the process instead.
	return m
}

// new returns what a stream that is made now is fixed to.
func (s Settings) new() Made {
	m := Made{Seed: s.Seed, Cells: s.Cells, Replicas: s.Replicas, Begins: s.Begins}
	rand.Read(m.Identity[:]) // It never fails: crypto/rand ends the process instead.
	m.Origin = m.Identity
	if m.Seed == ([16]byte{}) {
		rand.Read(m.Seed[:])
	}
	if m.Cells == 0 {
		m.Cells = CellsDefault
	}
	if m.Replicas == 0 {
		m.Replicas = max(1, min(s.Servers, ReplicasMax))
	}
	return m
}

// StreamName returns the name of a cell's stream.
func (s Settings) StreamName() string { return fmt.Sprintf("M_%s_%d", s.Cluster, s.Cell) }

const (
	metadataCluster  = "meterd_cluster"
	metadataIdentity = "meterd_identity"
	metadataOrigin   = "meterd_origin"
	metadataBegins   = "meterd_begins"
	metadataSeed     = "meterd_seed"
	metadataCells    = "meterd_cells"
	metadataReplicas = "meterd_replicas"
)

// config is how the stream is made. Nothing is ever dropped: a full stream refuses messages. The window for duplicates
// is as short as it can be, since no message has an id.
func (s Settings) config(m Made) jetstream.StreamConfig {
	if s.BytesMax == 0 {
		s.BytesMax = max(streamBytesMin, streamBytesDefault/int64(max(1, m.Cells)))
	}
	name := s.StreamName()
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subjectOf(name)}, Description: "commit log of meterd: leave it alone",
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		Replicas: m.Replicas, MaxBytes: s.BytesMax, MaxMsgs: -1, MaxMsgSize: MessageBytesMax + streamRoom,
		Duplicates: duplicatesMin, AllowDirect: true, DenyDelete: true,
		Metadata: map[string]string{
			metadataCluster: s.Cluster, metadataIdentity: hex.EncodeToString(m.Identity[:]),
			metadataOrigin: hex.EncodeToString(m.Origin[:]), metadataSeed: hex.EncodeToString(m.Seed[:]),
			metadataCells: strconv.Itoa(m.Cells), metadataReplicas: strconv.Itoa(m.Replicas), metadataBegins: m.Begins,
		},
	}
}

// Make makes a cell's stream, or looks at the one that is there, and returns what it was made with. It refuses one that
// was not made like this, and one of another cluster.
func Make(ctx context.Context, conn *nats.Conn, s Settings) (Made, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return Made{}, fmt.Errorf("use JetStream: %w", err)
	}
	if most := conn.MaxPayload(); most < MessageBytesMax+streamRoom {
		return Made{}, fmt.Errorf("server %q takes messages of %d bytes: set max_payload to 1 MiB",
			conn.ConnectedServerName(), most)
	}
	found, err := js.Stream(ctx, s.StreamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.Origin == (Identity{}) {
		found, err = js.CreateStream(ctx, s.config(s.new()))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // Another node was first.
			found, err = js.Stream(ctx, s.StreamName())
		}
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.Origin != (Identity{}) {
		return Made{}, fmt.Errorf("stream %q: %w", s.StreamName(), ErrGone)
	}
	if err != nil {
		return Made{}, fmt.Errorf("make stream %q: %w", s.StreamName(), err)
	}
	info, err := found.Info(ctx)
	if err != nil {
		return Made{}, fmt.Errorf("look at stream %q: %w", s.StreamName(), err)
	}
	made, err := s.Examine(info.Config)
	if err != nil {
		return Made{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return made, nil
}

// ErrRefused says that a stream is not to be used as it is: only somebody who changes it, or the flags, can help.
var ErrRefused = errors.New("the stream is refused")

// readMade reads what a stream was made with.
func readMade(c jetstream.StreamConfig) (m Made, err error) {
	for key, to := range map[string][]byte{
		metadataIdentity: m.Identity[:], metadataOrigin: m.Origin[:], metadataSeed: m.Seed[:],
	} {
		raw, err := hex.DecodeString(c.Metadata[key])
		if err != nil || len(raw) != len(to) {
			return m, errNotOurs
		}
		copy(to, raw)
	}
	var bad [2]error
	m.Cells, bad[0] = strconv.Atoi(c.Metadata[metadataCells])
	m.Replicas, bad[1] = strconv.Atoi(c.Metadata[metadataReplicas])
	m.Begins = c.Metadata[metadataBegins]
	if bad != [2]error{} || len(m.Begins) > nodeBytesMax || m.Cells < 1 || m.Cells > CellsMax || m.Replicas < 1 ||
		m.Replicas > ReplicasMax {
		return m, errNotOurs
	}
	return m, nil
}

// errNotOurs says that a stream has not the metadata of one of ours.
var errNotOurs = errors.New("it was not made by this meterd: choose another --cluster name, or remove it")

// Agrees refuses numbers that are not those that a cluster was made with.
func (s Settings) Agrees(m Made) error {
	for _, n := range []struct {
		flag        string
		given, made int
	}{{"cells", s.Cells, m.Cells}, {"replicas", s.Replicas, m.Replicas}} {
		if n.given != 0 && n.given != n.made {
			return fmt.Errorf("%w: cluster %q was made with --%s %d, which is for ever: --%[3]s %[5]d is refused, leave it out",
				ErrRefused, s.Cluster, n.flag, n.made, n.given)
		}
	}
	return nil
}

// Examine refuses the configuration of a stream that could lose groups, or is of another cluster, with a sentence for
// each fault, and returns what the stream was made with.
func (s Settings) Examine(c jetstream.StreamConfig) (m Made, err error) {
	if m, err = readMade(c); err != nil {
		return m, fmt.Errorf("stream %q: %w", c.Name, err)
	}
	if of := c.Metadata[metadataCluster]; of != s.Cluster || s.Origin != (Identity{}) && s.Origin != m.Origin {
		return m, fmt.Errorf("stream %q belongs to cluster %q with identity %x, this node to %q with %x: choose another "+
			"--cluster name", c.Name, of, m.Origin, s.Cluster, s.Origin)
	}
	if err := s.Agrees(m); err != nil {
		return m, err
	}
	want := s.config(m)
	var errs []error
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("stream %q "+format, append([]any{c.Name}, args...)...))
		}
	}
	demand(c.Replicas >= m.Replicas, "has %d replicas, %d were asked for: start more servers, or make the cluster with "+
		"--replicas %[2]d", c.Replicas, m.Replicas)
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
		return m, fmt.Errorf("%w; meterd makes its streams itself: put it back as it was", errors.Join(errs...))
	}
	return m, nil
}
