package client

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event/wire"
)

// fakeNodes is a cluster: addresses that all lead to one meterd, each with a fate of its own.
type fakeNodes struct {
	m     *exactMeterd
	nodes map[string]*fakeNode // by host

	mu      sync.Mutex
	cluster string // the map, "" for none
	maps    int    // how often it was asked for
}

// fakeNode is one of the addresses.
type fakeNode struct {
	fakeMeterd
	host   string
	isDead atomic.Bool
	fate   atomic.Pointer[func(r request) (*http.Response, error)] // what becomes of a batch, nil for an answer
}

const (
	threeHosts = "n1.test,n2.test,n3.test"
	threeNodes = "http://n1.test, http://n2.test/, http://n3.test"
)

func newFakeNodes(m *exactMeterd, hosts string) *fakeNodes {
	f := &fakeNodes{m: m, nodes: map[string]*fakeNode{}}
	for host := range strings.SplitSeq(hosts, ",") {
		n := &fakeNode{host: host}
		n.latency = time.Millisecond
		n.answer = func(_ int, r request) (*http.Response, error) {
			if fate := n.fate.Load(); fate != nil && r.isBatch() {
				return (*fate)(r)
			}
			return m.deliver(r)
		}
		n.producer = func() (*http.Response, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.producer()
		}
		f.nodes[host] = n
	}
	return f
}

// deliver is carry with the lock.
func (m *exactMeterd) deliver(r request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.carry(0, r)
}

func (f *fakeNodes) RoundTrip(hr *http.Request) (*http.Response, error) {
	n := f.nodes[hr.URL.Host]
	if n == nil || n.isDead.Load() {
		return nil, errNobody
	}
	if strings.HasSuffix(hr.URL.Path, "/v1/cluster") {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.maps++
		if f.cluster == "" {
			return respond(404, `{"code":"not_found"}`), nil
		}
		return respond(200, f.cluster), nil
	}
	return n.RoundTrip(hr)
}

func (f *fakeNodes) setMap(cluster string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cluster = cluster
}

// asked returns how many batches reached host.
func (f *fakeNodes) asked(host string) int {
	n := f.nodes[host]
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.requests)
}

// dies ends the node and its streams.
func (n *fakeNode) dies() {
	n.isDead.Store(true)
	n.cut()
}

func (n *fakeNode) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.streams {
		_ = s.socket.Close() // What is written into it now is lost.
	}
}

func (n *fakeNode) heals() {
	n.isDead.Store(false)
	n.fate.Store(nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency, n.handshake = time.Millisecond, nil
}

func (n *fakeNode) fated(fate func(r request) (*http.Response, error)) { n.fate.Store(&fate) }

const overloaded = `{"code":"overloaded"}`

// fates is how a node can fail, and how long an event may take then. The clock is synctest's.
func fates() []struct {
	name string
	do   func(f *fakeNodes, n *fakeNode)
	most time.Duration
} {
	soon := 100 * time.Millisecond
	return []struct {
		name string
		do   func(f *fakeNodes, n *fakeNode)
		most time.Duration
	}{
		{"dead", func(_ *fakeNodes, n *fakeNode) { n.dies() }, soon},
		{"cut before it decides", func(_ *fakeNodes, n *fakeNode) {
			n.fated(func(request) (*http.Response, error) { return nil, errCut })
		}, soon},
		{"cut before it answers", func(f *fakeNodes, n *fakeNode) {
			n.fated(func(r request) (*http.Response, error) {
				_, _ = f.m.deliver(r)
				return nil, errCut
			})
		}, soon},
		{"cut within the answer", func(f *fakeNodes, n *fakeNode) {
			n.fated(func(r request) (*http.Response, error) {
				_, _ = f.m.deliver(r)
				return respond(200, `{"accepted":`), nil
			})
		}, soon},
		{"has no owner for the cell", func(_ *fakeNodes, n *fakeNode) {
			n.fated(func(request) (*http.Response, error) { return respond(503, overloaded, "Retry-After", "3"), nil })
		}, soon},
		{"a proxy gives up", func(f *fakeNodes, n *fakeNode) {
			n.fated(func(r request) (*http.Response, error) {
				_, _ = f.m.deliver(r)
				return respond(502, ""), nil
			})
		}, soon},
		{"paused", func(_ *fakeNodes, n *fakeNode) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.latency = time.Minute
		}, tryMax + soon},
		{"opens no stream", func(_ *fakeNodes, n *fakeNode) {
			n.mu.Lock()
			n.handshake = respond(503, overloaded, "Retry-After", "3")
			n.mu.Unlock()
			n.fated(func(request) (*http.Response, error) { return nil, errCut })
			n.cut()
		}, soon},
	}
}

// TestEachNodeFailsAtEachStep: whatever becomes of the node that is asked, the next one answers the same batch, which
// is counted once. Nobody is told anything but its verdict.
func TestEachNodeFailsAtEachStep(t *testing.T) {
	for _, transport := range []Transport{OverStream, OverHTTP} {
		for _, fate := range fates() {
			t.Run(fmt.Sprintf("%s,transport=%d", fate.name, transport), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newExactMeterd(rand.New(rand.NewPCG(1, 1)), 0)
					f := newFakeNodes(m, threeHosts)
					c := newTestClient(t, nil, func(o *Options) {
						o.URL, o.Transport, o.HTTPClient = threeNodes, transport, &http.Client{Transport: f}
					})
					var failing *fakeNode
					for i := range 40 {
						if i%10 == 5 {
							if failing != nil {
								failing.heals()
							}
							failing = f.nodes[c.nodes.current().address[len("http://"):]]
							fate.do(f, failing)
						}
						begun := time.Now()
						v, err := c.Decide(t.Context(), up(fmt.Sprint("d", i%3), int64(i+1)))
						if took := time.Since(begun); err != nil || !v.Accepted || v.Unasked || took > fate.most {
							t.Errorf("event %d: %+v, %v, after %v", i, v, err, took)
						}
					}
					if s := c.Stats(); s.Ambiguous > 0 || s.UnaskedLost > 0 {
						t.Errorf("%+v", s)
					}
					closeClient(t, c)
					time.Sleep(10 * time.Minute) // What a paused node still decides is no other count.
					m.mu.Lock()
					defer m.mu.Unlock()
					for i := range 40 {
						if times := m.counted[fmt.Sprint("d", i%3)][int64(i+1)]; times != 1 {
							t.Errorf("event %d was counted %d times", i, times)
						}
					}
					if len(m.faults) > 0 {
						t.Error(m.faults)
					}
				})
			})
		}
	}
}

// When no node can decide, each is asked once, and then meterd's wish counts: no gateway hammers a cluster whose cell
// gets a new owner.
func TestNoOwnerAnywhere(t *testing.T) {
	for _, transport := range []Transport{OverStream, OverHTTP} {
		synctest.Test(t, func(t *testing.T) {
			m := newExactMeterd(rand.New(rand.NewPCG(1, 1)), 0)
			f := newFakeNodes(m, threeHosts)
			for _, n := range f.nodes {
				n.fated(func(request) (*http.Response, error) { return respond(503, overloaded, "Retry-After", "1"), nil })
			}
			c := newTestClient(t, nil, func(o *Options) {
				o.URL, o.Transport, o.HTTPClient = threeNodes, transport, &http.Client{Transport: f}
			})
			time.AfterFunc(12*time.Second, func() {
				for _, n := range f.nodes {
					n.heals()
				}
			})
			begun := time.Now()
			v, err := c.Decide(t.Context(), up("d1", 1))
			tries := 0
			for host := range f.nodes {
				tries += f.asked(host)
			}
			if took := time.Since(begun); err != nil || !v.Accepted || took > 14*time.Second || tries < 12 || tries > 90 {
				t.Errorf("%+v, %v, after %v and %d tries", v, err, took, tries)
			}
			closeClient(t, c)
		})
	}
}

// TestNodesAreExact: a gateway with a spool is killed again and again while nodes die, pause and lose their cells, over
// a network that loses, cuts and repeats. METERD_TEST_SEED names the first of its seeds.
func TestNodesAreExact(t *testing.T) {
	first, seeds := firstSeed(), uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for i := range seeds {
		seed := first + i
		policy, transport := FailOpen+Policy(i%2), Transport(i/2%2)
		t.Run(fmt.Sprintf("seed=%d,policy=%d,transport=%d", seed, policy, transport), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dice := rand.New(rand.NewPCG(seed, 3))
				m := newExactMeterd(rand.New(rand.NewPCG(dice.Uint64(), 1)), dice.IntN(20))
				f := newFakeNodes(m, threeHosts)
				stop := make(chan struct{})
				go f.suffer(rand.New(rand.NewPCG(dice.Uint64(), 1)), stop)
				runKills(t, m, f, dice, policy, transport, func(o *Options) { o.URL = threeNodes }, func() { close(stop) })
			})
		})
	}
}

// suffer lets one node after the other fail, until stop.
func (f *fakeNodes) suffer(dice *rand.Rand, stop <-chan struct{}) {
	hosts := strings.Split(threeHosts, ",")
	all := fates()
	for {
		n := f.nodes[hosts[dice.IntN(len(hosts))]]
		all[dice.IntN(len(all))].do(f, n)
		select {
		case <-time.After(time.Duration(dice.Int64N(int64(10 * time.Second)))):
			n.heals()
		case <-stop:
			for _, n := range f.nodes {
				n.heals()
			}
			return
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Commands go on behind the last one through another node, whatever a place looks like there.
func TestCommandsThroughAnotherNode(t *testing.T) {
	place := "0:17-4," + strings.Repeat("11:18446744073709551615-18446744073709551615,", 12) + "12:5"
	t.Run("http", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var hosts []string
			f := &fakeStream{scripts: []func(context.Context, io.Writer){
				saysAndEnds(disconnect(place, "d0")), nil, say(disconnect("1:1", "d1")),
			}}
			c := newTestClient(t, nil, func(o *Options) {
				o.URL, o.HTTPClient = threeNodes, &http.Client{
					Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
						hosts = append(hosts, r.URL.Host)
						if len(hosts) == 3 {
							<-r.Context().Done() // A node that is paused takes the connection, and says nothing.
							return nil, r.Context().Err()
						}
						return f.RoundTrip(r)
					}),
				}
			})
			commands := c.Commands()
			begun := time.Now()
			for i := range 2 {
				if cmd := <-commands; cmd.Device != fmt.Sprint("d", i) {
					t.Errorf("%+v", cmd)
				}
			}
			if took := time.Since(begun); took > tryMax+time.Second {
				t.Errorf("took %v", took)
			}
			closeClient(t, c)
			last := f.openings[len(f.openings)-1]
			if hosts[0] == hosts[1] || hosts[1] == hosts[2] || hosts[0] != hosts[3] || last.lastID != place {
				t.Errorf("asked %v, the last time behind %q", hosts, last.lastID)
			}
		})
	})
	t.Run("stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newExactMeterd(rand.New(rand.NewPCG(1, 1)), 0)
			f := newFakeNodes(m, threeHosts)
			c := newTestClient(t, nil, func(o *Options) {
				o.URL, o.Transport, o.HTTPClient = threeNodes, OverStream, &http.Client{Transport: f}
			})
			commands := c.Commands()
			for i := range 4 {
				synctest.Wait()
				n := f.nodes[c.stream.current().node.address[len("http://"):]]
				s := n.streams[len(n.streams)-1]
				if got := s.header.Get("Last-Event-ID"); (got == place) != (i > 0) {
					t.Errorf("opening %d goes on behind %q", i, got)
				}
				s.send(&wire.Frame{Kind: wire.FrameCommand, Body: wire.AppendCommand(nil, &wire.Command{
					ID: place, Type: wire.CommandDisconnect, Product: "p1", Device: fmt.Sprint("d", i), Reason: "suspended",
				})})
				if cmd := <-commands; cmd.Device != fmt.Sprint("d", i) {
					t.Errorf("%+v", cmd)
				}
				synctest.Wait()
				n.dies()
				time.Sleep(time.Second)
				n.heals()
			}
			closeClient(t, c)
		})
	})
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{
		"", ",", "http://a,", "http://a,ftp://b", "http://a,https://b", "http://a, http://a/", "http://a,http://b?x",
		strings.Repeat("http://a,", nodesMax) + "http://b",
	} {
		if err := validateURL(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
	if got := addresses(threeNodes); !slices.Equal(got, []string{"http://n1.test", "http://n2.test", "http://n3.test"}) {
		t.Errorf("%q", got)
	}
	if o := (Options{URL: threeNodes}).withDefaults(); o.Timeout != timeoutClusterDefault {
		t.Errorf("%v", o.Timeout)
	}
}
