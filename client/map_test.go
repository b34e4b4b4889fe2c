package client

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func mapOf(owner string) string {
	return `{"cluster":"demo","nodes":[{"node":"n1","address":"n1.test","state":"in order"}],"cells":[{"cell":0,` +
		`"owner":"n1","epoch":5,"address":"` + owner + `","replicas":[{"node":"n2","lag_groups":0}]}],"future":1}`
}

// Everything goes straight to the owner that the map names, to any node while it names none, and to the next owner when
// that dies. What is on the stream that is left is still answered.
func TestMapIsFollowed(t *testing.T) {
	for _, transport := range []Transport{OverStream, OverHTTP} {
		synctest.Test(t, func(t *testing.T) {
			m := newExactMeterd(rand.New(rand.NewPCG(1, 1)), 0)
			f := newFakeNodes(m, threeHosts+",cell0.n1.test:20001,cell0.n2.test:20001")
			f.setMap(mapOf("cell0.n1.test:20001"))
			c := newTestClient(t, nil, func(o *Options) {
				o.URL, o.Transport, o.HTTPClient = threeNodes, transport, &http.Client{Transport: f}
			})
			sent := int64(0)
			decide := func() {
				t.Helper()
				sent++
				if v, err := c.Decide(t.Context(), up("d1", sent)); err != nil || !v.Accepted {
					t.Errorf("%+v, %v", v, err)
				}
			}
			step := func(why, host string) {
				t.Helper()
				synctest.Wait()
				before := f.asked(host)
				for range 3 {
					decide()
				}
				if n := f.asked(host) - before; n != 3 {
					t.Errorf("%s: %d of 3 batches reached %s", why, n, host)
				}
			}
			decide()
			time.Sleep(time.Second)
			step("the map names an owner", "cell0.n1.test:20001")
			f.setMap(mapOf(""))
			f.nodes["cell0.n1.test:20001"].dies()
			decide()
			time.Sleep(mapPause)
			step("it died and has no successor", c.nodes.configured().address[len("http://"):])
			f.setMap(mapOf("cell0.n2.test:20001"))
			time.Sleep(2 * mapEvery)
			step("it has", "cell0.n2.test:20001")
			f.setMap(mapOf("cell0.nowhere.test:1"))
			f.nodes["cell0.n2.test:20001"].dies()
			decide()
			time.Sleep(2 * mapEvery)
			step("the map is wrong", c.nodes.configured().address[len("http://"):])
			if s := c.Stats(); s.Ambiguous > 0 || s.Requests > uint64(sent)+4 {
				t.Errorf("%+v", s)
			}
			closeClient(t, c)
		})
	}
}

// One address is one meterd, which is asked for nothing new; several addresses without a map are asked in turns.
func TestWithoutMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, list := range []string{"http://n1.test", threeNodes} {
			m := newExactMeterd(rand.New(rand.NewPCG(1, 1)), 0)
			f := newFakeNodes(m, threeHosts)
			c := newTestClient(t, nil, func(o *Options) { o.URL, o.HTTPClient = list, &http.Client{Transport: f} })
			for i := range 3 {
				if v, err := c.Decide(t.Context(), up("d1", int64(i+1))); err != nil || !v.Accepted {
					t.Errorf("%+v, %v", v, err)
				}
				time.Sleep(time.Minute)
			}
			if want := len(c.nodes.list) / 2; f.maps != want {
				t.Errorf("%q: asked for %d maps, want %d", list, f.maps, want)
			}
			closeClient(t, c)
		}
	})
}

// Several cells: only the one that the map names as this token's is asked directly.
func TestOwner(t *testing.T) {
	five := 5
	for want, m := range map[string]clusterMap{
		"":    {},
		"a:1": {Cells: []mapCell{{0, "a:1"}}},
		"b:2": {Cell: &five, Cells: []mapCell{{0, "a:1"}, {5, "b:2"}}},
	} {
		if got, isOne := m.owner(); got != want || isOne != (want != "") {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
	m := clusterMap{Cells: []mapCell{{0, "a:1"}, {5, "b:2"}}}
	if got, isOne := m.owner(); isOne {
		t.Errorf("two cells, and no word of which: %q", got)
	}
}
