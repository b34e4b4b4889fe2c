package main_test

import (
	"net/http"
	"testing"
)

// TestBrowserCluster shows a cluster: its nodes and cells, a cell that is moved, and a node that dies.
func TestBrowserCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a cluster and a browser")
	}
	t.Parallel()
	c := newCluster(t)
	asked, other := c.nodes[0], c.nodes[2]
	await(t, "the node that is asked has heard who owns the cells", func() bool { // The page says whatever is refused.
		a, err := asked.try(http.MethodGet, "/readyz", nil)
		return err == nil && a.status == http.StatusOK
	})
	p := newTab(newBrowser(t), t, asked)
	p.open("/cluster", asked.token)
	p.until("the way to the page", `!!document.querySelector('nav a[href="/cluster"]')`)
	p.looks(look{"/cluster", "Cluster test", "集群 test", []string{"n1", "n2", "n3"}})
	p.until("all cells have an owner", `document.body.innerText.includes("All cells have an owner")`)
	p.sees("has all")
	p.opens("Move cell 0")
	to := eval[string](p, `document.querySelector('dialog select').value`)
	p.press("Move")
	p.until("it was moved", `document.body.innerText.includes("Cell 0 is owned by `+to+`.")`)
	p.until("the new owner is shown", `document.querySelector('#cells tbody tr').innerText.includes("In order\t`+to+`")`)
	other.kill()
	p.until("a node is silent", `document.body.innerText.includes("Not heard for five seconds: n3")`)
	p.until("the cell has an owner", `document.querySelector('#cells tbody tr').innerText.includes("In order")`)
}
