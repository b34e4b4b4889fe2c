package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// names lists a member of all elements of a list.
func (c *cluster) names(path, list, member string) (all []string) {
	c.t.Helper()
	var page map[string]any
	c.anybody(0, "GET", path+"?limit=1000", "").into(c.t, &page)
	elements, _ := page[list].([]any)
	for _, e := range elements {
		object, _ := e.(map[string]any)
		name, _ := object[member].(string)
		all = append(all, name)
	}
	return all
}

// make asks one node after the other until somebody has made what has a name, or says that it is there: an answer may
// have been lost, or come too late.
func (c *cluster) make(first int, path, body string) {
	c.t.Helper()
	a := c.anybody(first, "POST", path, body)
	if a.status/100 != 2 && a.status != http.StatusConflict {
		c.t.Errorf("%s %s: %d %s", path, body, a.status, a.body)
	}
}

// Names are given once over all cells, whichever node is asked and whoever dies meanwhile; a token without an account
// is known to all cells when it is answered, and to none when its deletion is.
func TestClusterNames(t *testing.T) {
	if testing.Short() {
		t.Skip("owners are waited for")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "3")
	for _, d := range c.nodes {
		d.http.Timeout = 20 * time.Second // Nobody is paused, and wrong tokens are answered late.
	}
	in, made := c.accountInEachCell(3)
	for i := range 3 {
		body := fmt.Sprintf(`{"product":"p-%d","account":"a-%d"}`, in[i], in[(i+1)%3])
		if a := c.anybody(i, "POST", "/v1/products", body); a.status != http.StatusConflict {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	c.tokensOfAllCells(in)

	const each = 30
	var makers sync.WaitGroup
	for i := range 4 {
		makers.Go(func() {
			for n := range each {
				c.make(i, "/v1/products", fmt.Sprintf(`{"product":"x-%d-%d","account":"a-%d"}`, i, n, in[n%3]))
				c.make(i, "/v1/products", fmt.Sprintf(`{"product":"both-%d","account":"a-%d"}`, n, in[(n+i)%3]))
				c.make(i, "/v1/tokens", fmt.Sprintf(`{"name":"x-%d-%d","role":"viewer","account":"a-%d"}`, i, n, in[n%3]))
			}
		})
	}
	for range 2 {
		owner, _ := c.owner()
		owner.kill()
		await(t, "another node owns cell 0", func() bool { now, _ := c.owner(); return now != owner })
		owner.start()
	}
	makers.Wait()
	products, tokens := c.names("/v1/products", "products", "product"), c.names("/v1/tokens", "tokens", "name")
	slices.Sort(products)
	slices.Sort(tokens)
	if n := len(slices.Compact(slices.Clone(products))); n != len(products) || n != made+5*each {
		t.Errorf("%d names of %d products, want %d", n, len(products), made+5*each)
	}
	if n := len(slices.Compact(slices.Clone(tokens))); n != len(tokens) || n != 1+4*each {
		t.Errorf("%d names of %d tokens, want %d", n, len(tokens), 1+4*each)
	}
	for _, d := range c.nodes {
		d.stop()
	}
}

// accountInEachCell makes accounts a-0, a-1, …, each with a product p-0, p-1, … and a device, until every cell has one.
// It returns the number of one for each cell, and how many there are. An account goes to the emptiest of the cells
// whose owners say at once how full they are.
func (c *cluster) accountInEachCell(cells int) (in []int, made int) {
	c.t.Helper()
	found := map[int]int{}
	for ; len(found) < cells; made++ {
		if made == 10*cells {
			c.t.Fatalf("of %d accounts none is in some cell: %v", made, found)
		}
		product := fmt.Sprintf("p-%d", made)
		c.make(made, "/v1/accounts", fmt.Sprintf(`{"account":"a-%d","kind":"personal"}`, made))
		c.make(made, "/v1/products", fmt.Sprintf(`{"product":"%s","account":"a-%d"}`, product, made))
		if a := c.anybody(made, "POST", "/v1/events", line("connect", product, "d")); a.status != http.StatusOK {
			c.t.Fatalf("%d %s", a.status, a.body)
		}
		var l struct {
			Licenses []struct {
				Serial string `json:"serial"`
			} `json:"licenses"`
		}
		c.anybody(made+1, "GET", "/v1/products/"+product+"/licenses", "").into(c.t, &l)
		var cell, serial int
		if len(l.Licenses) != 1 {
			c.t.Fatalf("the licences of %s are %+v, want one", product, l.Licenses)
		}
		if n, err := fmt.Sscanf(l.Licenses[0].Serial, "%d-%d", &cell, &serial); n != 2 || err != nil || cell >= cells {
			c.t.Fatalf("the licence of %s has the serial %q, want that of a cell", product, l.Licenses[0].Serial)
		}
		found[cell] = made
	}
	for cell := range cells {
		in = append(in, found[cell])
	}
	return in, made
}

// tokensOfAllCells makes and deletes a token without an account, and asks every cell through every node.
func (c *cluster) tokensOfAllCells(in []int) {
	c.t.Helper()
	for i := range 3 {
		name, secret := c.tokenOfAllCells(i)
		bearer := []string{"Authorization", "Bearer " + secret}
		for n := range 9 {
			path := fmt.Sprintf("/v1/products/p-%d", in[n%3])
			if a := c.anybody(n/3, "GET", path, "", bearer...); a.status != http.StatusOK {
				c.t.Errorf("%s with a new token: %d %s", path, a.status, a.body)
			}
		}
		c.deleteToken(i+1, name)
		for n := range 3 {
			path := fmt.Sprintf("/v1/products/p-%d", in[n])
			if a := c.anybody(i+n, "GET", path, "", bearer...); a.status != http.StatusUnauthorized {
				c.t.Errorf("%s with a deleted token: %d %s", path, a.status, a.body)
			}
		}
	}
}

// tokenOfAllCells makes a token. One whose answer was lost is deleted: nobody is told its secret again.
func (c *cluster) tokenOfAllCells(first int) (name, secret string) {
	c.t.Helper()
	for {
		c.askers++
		name = fmt.Sprintf("all-%d", c.askers)
		a := c.anybody(first, "POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"role":"viewer"}`, name))
		if a.status == http.StatusConflict && a.isRepeated {
			c.deleteToken(first, name)
			continue
		}
		var token struct{ Token string }
		if a.into(c.t, &token); a.status != http.StatusCreated {
			c.t.Fatalf("%d %s", a.status, a.body)
		}
		return name, token.Token
	}
}

// deleteToken deletes a token; the answer may have been lost.
func (c *cluster) deleteToken(first int, name string) {
	c.t.Helper()
	a := c.anybody(first, "DELETE", "/v1/tokens/"+name, "")
	if a.status != http.StatusNoContent && (a.status != http.StatusNotFound || !a.isRepeated) {
		c.t.Errorf("%d %s", a.status, a.body)
	}
}
