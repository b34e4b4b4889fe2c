package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/bench/testport"
)

// trio are three servers in this process.
type trio struct {
	t      *testing.T
	dir    string
	routes []string
	list   []*Server
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t, dir: t.TempDir(), list: make([]*Server, 3)}
	for range c.list {
		c.routes = append(c.routes, testport.Free(t))
	}
	var all sync.WaitGroup
	for i := range c.list {
		all.Go(func() { c.list[i] = c.start(i) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for _, s := range c.list {
			s.Close()
		}
	})
	return c
}

func (c *trio) path(i int) string { return filepath.Join(c.dir, strconv.Itoa(i)) }

func (c *trio) options(i int) Options {
	return Options{
		Cluster: "test", Node: fmt.Sprintf("n%d", i+1), Dir: c.path(i), Listen: c.routes[i], Routes: c.routes, Secret: "s",
	}
}

func (c *trio) start(i int) *Server {
	ctx, stop := context.WithTimeout(c.t.Context(), 2*time.Minute) // The others may have no majority.
	defer stop()
	s, err := Start(ctx, c.options(i))
	if err != nil {
		c.t.Error(err)
	}
	return s
}

// until asks again and again. Its bounds measure nothing: a slow machine may need much of them.
func (c *trio) until(what string, is func(ctx context.Context) error) {
	c.t.Helper()
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		ctx, stop := context.WithTimeout(c.t.Context(), 5*time.Second)
		err = is(ctx)
		stop()
		if err == nil {
			return
		}
		<-time.After(readyEvery)
	}
	c.t.Fatalf("%s: %v", what, err)
}

// replicas waits until a stream has the replicas that it was made with, all of them current and on live servers.
func (c *trio) replicas(js jetstream.JetStream) {
	c.t.Helper()
	c.until("three replicas", func(ctx context.Context) error {
		s, err := js.Stream(ctx, streamOfTest)
		if err != nil {
			return err
		}
		info := s.CachedInfo()
		if len(info.Cluster.Replicas) != 2 {
			return fmt.Errorf("%d replicas beside the leader", len(info.Cluster.Replicas))
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline {
				return fmt.Errorf("%+v", *r)
			}
		}
		return nil
	})
}

// A server whose disk was emptied counts in every majority until it is removed. Then its replicas are placed on the new
// one, with all that was acknowledged. When its directory is back it is no member: nobody asks its Raft logs. And the
// death of another one stops nothing.
func TestRemove(t *testing.T) {
	if testing.Short() {
		t.Skip("servers elect leaders")
	}
	t.Parallel()
	c := newTrio(t)
	js, err := jetstream.New(c.list[0].Conn())
	if err != nil {
		t.Fatal(err)
	}
	c.until("a stream", func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: streamOfTest, Subjects: []string{streamOfTest}, Replicas: 3,
		})
		return err
	})
	last := uint64(0)
	publish := func(n int) {
		t.Helper()
		for range n {
			c.until("a message", func(ctx context.Context) error {
				ack, err := js.Publish(ctx, streamOfTest, nil)
				if err == nil {
					last = ack.Sequence
				}
				return err
			})
		}
	}
	publish(300)
	old := c.list[1]
	if id := IDOf(old.Name()); id != old.ID() {
		t.Fatalf("%q has the id %q, not %q", old.Name(), old.ID(), id)
	}
	old.Close()
	if err := os.Rename(c.path(1), c.path(9)); err != nil {
		t.Fatal(err)
	}
	c.list[1] = c.start(1)
	has := func(id string) (Peer, bool) {
		var p Peer
		c.until("the servers", func(ctx context.Context) error {
			list, err := c.list[0].Peers(ctx)
			p = Peer{}
			for _, peer := range list {
				if peer.ID == id {
					p = peer
				}
			}
			return err
		})
		return p, p.ID != ""
	}
	c.until("it is offline", func(context.Context) error {
		if p, ok := has(old.ID()); !ok || !p.Offline {
			return fmt.Errorf("a server that is gone is %+v", p)
		}
		return nil
	})
	c.until("remove it", func(ctx context.Context) error {
		err := c.list[0].Remove(ctx, old.ID())
		if _, ok := has(old.ID()); !ok { // An answer may be lost.
			return nil
		}
		return err
	})
	if err := c.list[0].Remove(t.Context(), old.ID()); err == nil {
		t.Fatal("it is removed twice")
	}
	c.replicas(js)

	// All three remember that it was removed. One that is started after that does not, and may add it again.
	back := Options{
		Cluster: "test", Node: "n2", Dir: c.path(9), Routes: c.routes, Secret: "s", Listen: testport.Free(t),
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	s, err := Start(ctx, back)
	publish(100)
	if _, ok := has(old.ID()); ok {
		t.Fatal("a server that was removed is a member again")
	}
	if err == nil {
		s.Close()
	}
	c.replicas(js)

	c.list[2].Close()
	publish(100)
	c.until("all that was acknowledged", func(ctx context.Context) error {
		s, err := js.Stream(ctx, streamOfTest)
		if err != nil {
			return err
		}
		if state := s.CachedInfo().State; state.LastSeq < last || state.Msgs != state.LastSeq {
			return fmt.Errorf("%d messages were acknowledged: %+v", last, state)
		}
		return nil
	})
	c.list[2] = c.start(2)
	c.replicas(js)
}

// Before a server is one of the cluster it can ask the others, under another name, and leaves nothing behind.
func TestBefore(t *testing.T) {
	if testing.Short() {
		t.Skip("servers elect leaders")
	}
	t.Parallel()
	c := newTrio(t)
	name := c.list[1].Name()
	c.list[1].Close()
	sub, err := c.list[0].Conn().Subscribe("question", func(m *nats.Msg) { _ = m.Respond([]byte("answer")) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := Before(t.Context(), c.options(1), func(s *Server) error {
		c.until("an answer", func(ctx context.Context) error {
			m, err := s.Conn().RequestWithContext(ctx, "question", nil)
			if err == nil && string(m.Data) != "answer" {
				err = errors.New("another answer")
			}
			return err
		})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("no")
	if err := Before(t.Context(), c.options(1), func(*Server) error { return refused }); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if is, err := NameIn(c.path(1)); err != nil || is != name {
		t.Fatalf("the directory's server is %q now, it was %q: %v", is, name, err)
	}
	c.list[1] = c.start(1)
	c.until("the servers", func(ctx context.Context) error {
		list, err := c.list[0].Peers(ctx)
		if err == nil && len(list) != 3 {
			err = fmt.Errorf("%d servers: %+v", len(list), list)
		}
		return err
	})
}

func FuzzPeers(f *testing.F) {
	f.Add([]byte(`{"data":{"meta_cluster":{"leader":"n1-1","peer":"a","replicas":[{"peer":"b","current":true}]}}}`))
	f.Add([]byte(`{"error":{"description":"no"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodePeers(b)
		if err == nil && (len(list) == 0 || list[0].ID == "" || list[0].Offline) {
			t.Fatalf("%+v", list)
		}
	})
}

func TestPeersRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"":                                      "which servers there are",
		`{"error":{"description":"not now"}}`:   "not now",
		`{"data":{"meta_cluster":{"name":""}}}`: "not of the server that leads",
	} {
		if _, err := decodePeers([]byte(answer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", answer, err, want)
		}
	}
	list, err := decodePeers([]byte(`{"data":{"meta_cluster":{"leader":"n1-1","peer":"a","replicas":[
		{"peer":"b","active":11000000000,"current":true},{"peer":"c"},{"peer":"d","active":1,"current":true}]}}}`))
	if err != nil || len(list) != 4 || !list[1].Offline || !list[2].Offline || list[3].Offline {
		t.Fatalf("%+v %v", list, err)
	}
}
