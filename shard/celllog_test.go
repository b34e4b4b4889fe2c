package shard

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/cluster/jetlog"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// onStream says that the tests run on the log of a cluster's cell: every engine appends to a stream in memory and to
// segments, in an epoch of its own, and proves what leaves no record by barriers. It is METERD_TEST_LOG=stream.
func onStream() bool { return os.Getenv("METERD_TEST_LOG") == "stream" }

// memStream is a stream in memory that never fails.
type memStream struct {
	mu       sync.Mutex
	messages []jetlog.Stored
	news     chan uint64
}

var errMemStream = errors.New("another message was first")

func (s *memStream) Publish(_ context.Context, after uint64, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after != uint64(len(s.messages)) {
		return errMemStream
	}
	s.messages = append(s.messages, jetlog.Stored{Seq: after + 1, Data: append([]byte(nil), b...)})
	return nil
}

func (s *memStream) Read(_ context.Context, from uint64, bytesMax int) (list []jetlog.Stored, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bytes := 0; from-1 < uint64(len(s.messages)) && bytes < bytesMax; from++ {
		list = append(list, s.messages[from-1])
		bytes += len(s.messages[from-1].Data)
	}
	return list, nil
}

func (s *memStream) Get(_ context.Context, seq uint64) (jetlog.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq == 0 || seq > uint64(len(s.messages)) {
		return jetlog.Stored{}, jetlog.ErrNotThere
	}
	return s.messages[seq-1], nil
}

func (s *memStream) Size(context.Context) (jetlog.Size, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return jetlog.Size{First: 1, Last: uint64(len(s.messages))}, nil
}

func (s *memStream) News() <-chan uint64 { return s.news }

// cellLog is the log of a cell that one node owns again and again.
type cellLog struct {
	stream   *memStream
	segments *commitlog.Log
	*jetlog.Log
}

func openSegments(t testing.TB) *commitlog.Log {
	t.Helper()
	log, err := commitlog.Open(commitlog.Options{
		Path: filepath.Join(t.TempDir(), "segments"), SegmentBytes: 1 << 20, Retention: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func newCellLog(t testing.TB) *cellLog {
	t.Helper()
	c := &cellLog{stream: &memStream{}, segments: openSegments(t)}
	t.Cleanup(func() { c.compare(t) })
	return c
}

func (c *cellLog) follower(t testing.TB, segments *commitlog.Log) *jetlog.Follower {
	t.Helper()
	f, err := jetlog.Open(t.Context(), jetlog.Options{
		Stream: c.stream, Identity: jetlog.Identity{7}, Segments: segments, Node: "n1", Records: record.Version,
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		if n, err = f.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// own begins another epoch.
func (c *cellLog) own(t testing.TB) {
	t.Helper()
	var err error
	if c.Log, err = c.follower(t, c.segments).Claim(); err != nil {
		t.Fatal(err)
	}
}

// compare follows the stream as another node would, and demands the same log.
func (c *cellLog) compare(t testing.TB) {
	if t.Failed() {
		return
	}
	copied := openSegments(t)
	f, err := jetlog.Open(context.Background(), jetlog.Options{
		Stream: c.stream, Identity: jetlog.Identity{7}, Segments: copied, Node: "n2", Records: record.Version,
	})
	for n := 1; n > 0 && err == nil; {
		n, err = f.Step(context.Background())
	}
	wantSeq, wantMs, want := c.segments.Last()
	if seq, ms, chain := copied.Last(); err != nil || seq != wantSeq || ms != wantMs || chain != want {
		t.Errorf("another node follows to group %d of %d: %v", seq, wantSeq, err)
	}
}
