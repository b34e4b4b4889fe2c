package client

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// asked is what a node is asked for.
type asked uint8

const (
	askedEvents asked = iota
	askedOffline
	askedProducer
	askedCommands
	askedStream
	askedMap
	askedKinds
)

// node is an address of meterd.
type node struct {
	address string
	urls    [askedKinds]string
}

func newNode(base *url.URL, producer string) *node {
	n := &node{address: base.String()}
	commands := base.JoinPath("v1", "commands")
	commands.RawQuery = url.Values{"producer": {producer}}.Encode()
	n.urls[askedEvents] = base.JoinPath("v1", "events").String()
	n.urls[askedOffline] = base.JoinPath("v1", "producers", producer, "offline").String()
	n.urls[askedProducer] = base.JoinPath("v1", "producers", producer).String()
	n.urls[askedCommands] = commands.String()
	n.urls[askedStream] = base.JoinPath("v1", "stream").String()
	n.urls[askedMap] = base.JoinPath("v1", "cluster").String()
	return n
}

// nodes are the addresses of a client, and which of them is asked now: the one that was asked last, until it fails;
// then the next one, round and round. It is safe for concurrent use.
//
//	direct, the owner of this client's cell, if the map names it ── fails ─► shunned for a while
//	  else list[at] ── fails ─► list[at+1] ─► … ─► list[0] ─► …
type nodes struct {
	producer string
	scheme   string
	list     []*node       // as configured, never changed
	left     chan struct{} // a token: one of them failed since the map was read

	mu           sync.Mutex
	at           int
	direct       *node
	shunned      string // the address of the direct one that failed last, and until when it is not taken again
	shunnedUntil time.Time
}

// newNodes returns the nodes of a list that is validated. The producer's name draws where to begin, so that gateways
// spread, and one that starts again goes where it was.
func newNodes(list, producer string) *nodes {
	s := &nodes{producer: producer, left: make(chan struct{}, 1)}
	for _, address := range addresses(list) {
		base, err := url.Parse(address)
		if err != nil {
			panic(fmt.Sprintf("BUG: validated URL does not parse: %v", err))
		}
		s.scheme = base.Scheme
		s.list = append(s.list, newNode(base, producer))
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(producer)) // It never fails.
	s.at = int(h.Sum32() % uint32(len(s.list)))
	return s
}

// current returns the node to ask.
func (s *nodes) current() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct != nil {
		return s.direct
	}
	return s.list[s.at]
}

// configured returns the node to ask for the map, which no owner of a cell has.
func (s *nodes) configured() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[s.at]
}

// several reports whether there is another node when one fails.
func (s *nodes) several() bool { return len(s.list) > 1 }

// leave says that n failed. Whoever finds out late, when others left n already, changes nothing.
func (s *nodes) leave(n *node) {
	if !s.several() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n {
	case s.direct:
		s.direct, s.shunned, s.shunnedUntil = nil, n.address, time.Now().Add(shunFor)
	case s.list[s.at]:
		s.at = (s.at + 1) % len(s.list)
	default:
		return
	}
	select {
	case s.left <- struct{}{}:
	default:
	}
}

// shun says that n, which the map names, cannot be reached from here.
func (s *nodes) shun(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shunned, s.shunnedUntil = n.address, time.Now().Add(shunFor)
}

// toDirect makes n the one to ask, nil for none.
func (s *nodes) toDirect(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.direct = n
}

// isDirect reports whether the owner at address is asked already, and mayBe whether it may be.
func (s *nodes) isDirect(address string) (isDirect, mayBe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct != nil && s.direct.address == address {
		return true, true
	}
	return false, s.shunned != address || time.Now().After(s.shunnedUntil)
}

// failed reports whether err, what asking a node came to, is a reason to try another one: no answer, or an answer that
// says that this one cannot.
func failed(err *UnavailableError) bool {
	return err != nil && (err.Status < http.StatusBadRequest || err.Status >= http.StatusInternalServerError)
}

// isNodes reports whether err, why a stream of commands is not open, is a reason to try another node.
func isNodes(err error) bool {
	var p *Problem
	return !errors.As(err, &p) || p.Status >= http.StatusInternalServerError
}

// withTry returns ctx for one try, which is short where there is another node to ask.
func (c *Client) withTry(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.nodes.several() {
		return context.WithTimeout(ctx, tryMax)
	}
	return ctx, func() {}
}

// addresses splits a list of addresses.
func addresses(list string) []string {
	split := strings.Split(list, ",")
	for i := range split {
		split[i] = strings.TrimRight(strings.TrimSpace(split[i]), "/")
	}
	return split
}

// validateURL reports what is wrong with a list of addresses.
func validateURL(list string) error {
	var faults []error
	scheme, seen := "", map[string]bool{}
	split := addresses(list)
	for _, s := range split {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			faults = append(faults, fmt.Errorf("URL %q: must be http:// or https:// with a host, and end with it or a path", s))
			continue
		case seen[s]:
			faults = append(faults, fmt.Errorf("URL %q: is named twice", s))
		case scheme != "" && scheme != u.Scheme:
			faults = append(faults, fmt.Errorf("URL %q: must be %s://, as the one before it is", s, scheme))
		}
		scheme, seen[s] = u.Scheme, true
	}
	if len(split) > nodesMax {
		faults = append(faults, fmt.Errorf("URL: %d addresses, at most %d", len(split), nodesMax))
	}
	return errors.Join(faults...)
}
