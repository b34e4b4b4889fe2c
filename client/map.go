package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// clusterMap is what GET /v1/cluster says, as far as a gateway needs it. Unknown members are ignored.
type clusterMap struct {
	// Cell is the one that all accounts of this token are in. A map of one cell need not say so.
	Cell  *int      `json:"cell"`
	Cells []mapCell `json:"cells"`
}

type mapCell struct {
	Cell    int    `json:"cell"`
	Address string `json:"address"` // HOST:PORT that its owner takes requests at, "" while it has none
}

// owner returns the address of who decides everything for this client, "" while no one does; false when that are
// several, for ever.
func (m *clusterMap) owner() (address string, isOne bool) {
	for _, c := range m.Cells {
		if len(m.Cells) == 1 || m.Cell != nil && *m.Cell == c.Cell {
			return c.Address, true
		}
	}
	return "", false
}

// followMap is the goroutine that sends everything straight to the owner of this client's cell, if there is such a
// cell and its owner can be reached from here. Otherwise a node hands on what it is asked: that costs a hop and is
// right, too. So a map that cannot be read, or is wrong, does no harm.
func (c *Client) followMap() {
	select {
	case <-c.asking:
	case <-c.ctx.Done():
		return
	}
	tick := time.NewTicker(mapEvery)
	defer tick.Stop()
	for {
		mayHelp := c.readMap()
		for again := false; !again; {
			select {
			case <-tick.C:
				again = mayHelp
			case <-c.nodes.left:
				again = true
				select {
				case <-time.After(jittered(mapPause)): // The nodes need a moment, too.
				case <-c.ctx.Done():
					return
				}
			case <-c.ctx.Done():
				return
			}
		}
	}
}

// readMap reads the map once and goes where it says. True when another one may say more; false when there is none, when
// several cells decide for this client, and when the owner is asked now: until it fails.
func (c *Client) readMap() (mayHelp bool) {
	ctx, cancel := context.WithTimeout(c.ctx, tryMax)
	defer cancel()
	n := c.nodes.configured()
	r, refusal := c.callAt(ctx, http.MethodGet, n.urls[askedMap], nil, 0, mapBytesMax)
	if refusal != nil {
		if failed(refusal) {
			c.nodes.leave(n)
		}
		return refusal.Status != http.StatusNotFound
	}
	var m clusterMap
	if json.Unmarshal(r.body, &m) != nil {
		return false
	}
	address, isOne := m.owner()
	owner, err := url.Parse(c.nodes.scheme + "://" + address)
	if !isOne || err != nil || owner.Host == "" || owner.Host != address {
		return isOne
	}
	direct := newNode(owner, c.opts.Producer)
	if isDirect, mayBe := c.nodes.isDirect(direct.address); isDirect || !mayBe {
		return !isDirect
	}
	if err := c.greet(ctx, direct); err != nil {
		c.nodes.shun(direct)
		return true
	}
	c.nodes.toDirect(direct)
	c.stream.move(ctx)
	return false
}

// greet asks n a question that changes nothing, to see whether it is what the map says.
func (c *Client) greet(ctx context.Context, n *node) error {
	r, refusal := c.callAt(ctx, http.MethodGet, n.urls[askedProducer], nil, 0, answerBytesMin)
	if refusal == nil {
		_, refusal = parseProducer(r.body)
	}
	if refusal != nil && !isNotFound(refusal) {
		return fmt.Errorf("ask %s: %w", n.address, refusal)
	}
	return nil
}
