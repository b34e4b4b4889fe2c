package jetlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/bench/testport"
	"github.com/meterd/meterd/cluster/embedded"
	commitlog "github.com/meterd/meterd/retention/log"
)

// streamBytesTest is enough for a test, and little enough for the server to promise.
const streamBytesTest = 256 << 20

// patience bounds a failure and measures nothing.
const patience = 2 * time.Minute

// patient is a test's context with a deadline: without one a client of NATS gives an answer 5 s, and a machine may
// stand still for longer.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	t.Cleanup(stop)
	return ctx
}

// startServers starts n servers of one cluster in this process.
func startServers(t testing.TB, n int) []*embedded.Server {
	list, _ := startServersIn(t, n)
	return list
}

// startServersIn returns the directories of the servers, too.
func startServersIn(t testing.TB, n int) (list []*embedded.Server, dirs []string) {
	t.Helper()
	list = make([]*embedded.Server, n)
	var routes []string
	for range n {
		routes = append(routes, testport.Free(t))
	}
	var wg sync.WaitGroup
	for i := range list {
		dirs = append(dirs, t.TempDir())
		o := embedded.Options{Node: fmt.Sprintf("n%d", i+1), Dir: dirs[i]}
		if n > 1 {
			o.Cluster, o.Secret, o.Listen, o.Routes = "test", "secret", routes[i], routes
		}
		wg.Go(func() {
			s, err := embedded.Start(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			list[i] = s
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, s := range list {
			if s != nil {
				s.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return list, dirs
}

func testSettings(replicas int) Settings {
	return Settings{Cluster: "test", Replicas: replicas, BytesMax: streamBytesTest}
}

// connect makes the stream if nobody has, and connects to it.
func connect(t testing.TB, conn *nats.Conn, s Settings) (*JetStream, Identity) {
	t.Helper()
	ctx := patient(t)
	made, err := Make(ctx, conn, s)
	var electing *jetstream.APIError // The servers have nobody who leads just now.
	for errors.As(err, &electing) && electing.Code == 503 && rest(ctx, pauseMax) {
		made, err = Make(ctx, conn, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	j, err := Connect(conn, s.StreamName())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, made.Identity
}

// claim follows a stream into new segments and claims the cell, again if somebody else was first.
func claim(t testing.TB, stream Stream, id Identity, name string) *Log {
	t.Helper()
	return claimWith(t, stream, id, name, openSegments(t))
}

func claimWith(t testing.TB, stream Stream, id Identity, name string, segments *commitlog.Log) *Log {
	t.Helper()
	t.Cleanup(func() { _ = segments.Close() })
	o := Options{Stream: stream, Identity: id, Segments: segments, Node: name, Records: 1}
	f, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for {
		n, err := f.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			continue
		}
		l, err := f.Claim()
		if err == nil {
			return l
		}
		if !errors.Is(err, ErrOvertaken) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// copyOf follows the stream into new segments until they have group `last`.
func copyOf(t testing.TB, stream Stream, id Identity, last uint64) *commitlog.Log {
	t.Helper()
	segments := openSegments(t)
	t.Cleanup(func() { _ = segments.Close() })
	f, err := Open(t.Context(), Options{Stream: stream, Identity: id, Segments: segments, Node: "copy", Records: 1})
	if err != nil {
		t.Fatal(err)
	}
	reads(t, f, last)
	return segments
}

// reads steps until group `last` was read. One step that reads nothing says nothing: its answer may have come too late.
func reads(t testing.TB, f *Follower, last uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for group := uint64(0); group < last; group, _ = f.At() {
		if _, err := f.Step(ctx); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
	}
}

func sameEnd(t testing.TB, a, b *commitlog.Log) {
	t.Helper()
	seqA, _, chainA := a.Last()
	seqB, _, chainB := b.Last()
	if seqA != seqB || chainA != chainB {
		t.Fatalf("one copy ends with group %d and chain %x, the other with group %d and chain %x", seqA, chainA, seqB, chainB)
	}
}

// One server: what was appended comes back from the stream as it was, small or of many messages; barriers and a second
// owner do what they must.
func TestOneServer(t *testing.T) {
	server := startServers(t, 1)[0]
	stream, id := connect(t, server.Conn(), testSettings(1))
	first := claim(t, stream, id, "n1")
	for seq := uint64(1); seq <= 40; seq++ {
		g := testGroup(seq, byte(seq), 10, 1+int(seq)*1000)
		if seq%10 == 0 {
			g = testGroup(seq, byte(seq), 10, int(seq)*payloadBytesMax/4, 77)
		}
		mustAppend(t, first, g)
	}
	if err := first.Barrier(); err != nil {
		t.Fatal(err)
	}
	second := claim(t, stream, id, "n2")
	sameEnd(t, first.Log, second.Log)
	if err := first.Barrier(); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	if err := first.Append(testGroup(41, 1, 1)); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	mustAppend(t, second, testGroup(41, 2, 1))
	sameEnd(t, second.Log, copyOf(t, stream, id, 41))

	f, err := Open(t.Context(), Options{Stream: stream, Identity: id, Segments: first.Log, Node: "n1", Records: 1})
	if err != nil {
		t.Fatal(err)
	}
	reads(t, f, 41) // The deposed owner follows.
	sameEnd(t, first.Log, second.Log)
}

// What meterd refuses of the streams of a real server.
func TestRealStreamsAreExamined(t *testing.T) {
	server := startServers(t, 1)[0]
	_, id := connect(t, server.Conn(), testSettings(1))
	other := testSettings(1)
	other.Origin = Identity{1}
	_, err := Make(patient(t), server.Conn(), other)
	if err == nil || !strings.Contains(err.Error(), "belongs to cluster") {
		t.Fatal(err)
	}
	known := testSettings(1)
	known.Origin = id
	js, err := jetstream.New(server.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(patient(t), known.StreamName()); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(patient(t), server.Conn(), known); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Fatal(err)
	}
	c := known.config(Made{Identity: id, Origin: id, Cells: 1, Replicas: 1})
	c.MaxAge = time.Hour
	if _, err := js.CreateStream(patient(t), c); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(patient(t), server.Conn(), known); err == nil || !strings.Contains(err.Error(), "has max_age") {
		t.Fatal(err)
	}
}

// A follower hears of groups as they come.
func TestFollowerIsTold(t *testing.T) {
	server := startServers(t, 1)[0]
	stream, id := connect(t, server.Conn(), testSettings(1))
	l := claim(t, stream, id, "n1")
	follower, _ := connect(t, server.Conn(), testSettings(1))
	segments := openSegments(t)
	defer func() { _ = segments.Close() }()
	f, err := Open(t.Context(), Options{Stream: follower, Identity: id, Segments: segments, Node: "n2", Records: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- untilSilent(ctx, f, time.Hour) }()
	for seq := uint64(1); seq <= 20; seq++ {
		mustAppend(t, l, testGroup(seq, 1, 5))
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for last := uint64(0); last < 20; last, _, _ = segments.Last() {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	sameEnd(t, segments, l.Log)
}

// Three servers; the one that leads the stream is stopped while groups are appended through another one. Every group
// that was acknowledged is there, once; the append in between takes as long as an election.
func TestThreeServersAndOneStops(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take 4 to 9 seconds each")
	}
	servers := startServers(t, 3)
	settings := testSettings(3)
	first, id := connect(t, servers[0].Conn(), settings)
	leader := leaderOf(t, servers[0].Conn(), settings.StreamName())
	owner := 0
	for servers[owner].Name() == leader {
		owner++
	}
	stream := first
	if owner > 0 {
		stream, _ = connect(t, servers[owner].Conn(), settings)
	}
	l := claim(t, stream, id, "n1")
	for seq := uint64(1); seq <= 50; seq++ {
		if seq == 25 {
			for _, s := range servers {
				if s.Name() == leader {
					s.Close()
				}
			}
		}
		g := testGroup(seq, byte(seq), 100, 2000, 3*payloadBytesMax/int(1+seq%7))
		err := l.Append(g)
		for errors.Is(err, ErrUnsettled) { // The election took longer than an owner asks; it follows and claims again.
			t.Logf("group %d: %v", seq, err)
			l = claim(t, stream, id, "n1")
			if last, _, _ := l.Last(); last == seq { // The stream has it.
				err = nil
			} else {
				err = l.Append(g)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sameEnd(t, l.Log, copyOf(t, stream, id, 50))
	third := servers[3-owner-indexOf(servers, leader)]
	other, _ := connect(t, third.Conn(), settings)
	sameEnd(t, l.Log, copyOf(t, other, id, 50))
	next := claim(t, other, id, "n2")
	if err := l.Append(testGroup(51, 1, 1)); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	mustAppend(t, next, testGroup(51, 2, 1))
}

func indexOf(servers []*embedded.Server, name string) int {
	for i, s := range servers {
		if s.Name() == name {
			return i
		}
	}
	return -1
}

func leaderOf(t testing.TB, conn *nats.Conn, stream string) string {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(patient(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Cluster.Leader
}

// BenchmarkAppend appends groups of what a busy owner gathers while one is stored: to segments alone, and to a stream
// of one and of three servers in this process beside segments.
func BenchmarkAppend(b *testing.B) {
	sizes := []int{4 << 10, 64 << 10, 256 << 10, 2 << 20}
	b.Run("segments", func(b *testing.B) {
		l, err := commitlog.Open(commitlog.Options{Path: b.TempDir(), Retention: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) { appendAll(b, size, l) })
		}
	})
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("servers=%d", n), func(b *testing.B) {
			servers := startServers(b, n)
			stream, id := connect(b, servers[0].Conn(), Settings{Cluster: "test", Replicas: n, BytesMax: 4 << 30})
			segments, err := commitlog.Open(commitlog.Options{Path: b.TempDir(), Retention: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			l := claimWith(b, stream, id, "n1", segments)
			for _, size := range sizes {
				b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) { appendAll(b, size, l) })
			}
			b.Run("barrier", func(b *testing.B) {
				for b.Loop() {
					if err := l.Barrier(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// appendable is a log of either kind.
type appendable interface {
	Append(*commitlog.Group) error
	Last() (seq uint64, lastMs int64, chain commitlog.Chain)
}

func appendAll(b *testing.B, size int, l appendable) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	last, _, _ := l.Last()
	g := testGroup(last+1, 1, 100, size)
	for b.Loop() {
		if err := l.Append(g); err != nil {
			b.Fatal(err)
		}
		g.Seq++
		g.FirstMs, g.LastMs = int64(g.Seq), int64(g.Seq)
	}
}

// A read that was given up leaves answers behind, which are not taken for those of the next one.
func TestLateAnswersAreNotTaken(t *testing.T) {
	servers := startServers(t, 1)
	j, id := connect(t, servers[0].Conn(), testSettings(1))
	l := claim(t, j, id, "n1")
	for i := range 20 {
		if err := l.Append(testGroup(uint64(i+1), 1, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	given, stop := context.WithCancel(t.Context())
	stop()
	for range 10 {
		if list, err := j.Read(given, 1, readBytes); err == nil {
			t.Fatalf("a read that was given up returns %d messages", len(list))
		}
	}
	for from := uint64(1); from <= 21; from++ {
		list, err := j.Read(t.Context(), from, readBytes)
		if err != nil || len(list) != int(21-from)+1 {
			t.Fatalf("from message %d: %d messages: %v", from, len(list), err)
		}
		for i, m := range list {
			if m.Seq != from+uint64(i) {
				t.Fatalf("from message %d: message %d comes at place %d", from, m.Seq, i)
			}
		}
	}
}
