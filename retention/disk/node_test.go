package disk

import (
	"strings"
	"testing"
)

// A directory stays with its node: under another name it is refused, and nothing is changed.
func TestNodeName(t *testing.T) {
	path := t.TempDir()
	open := func(name NodeName) error {
		n, err := OpenNode(path, name, false)
		if err != nil {
			return err
		}
		if err := n.Join([16]byte{1}); err != nil {
			t.Error(err)
		}
		return n.Close()
	}
	own := NodeName{Cluster: "demo", Node: "n1"}
	for range 2 {
		if err := open(own); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []NodeName{{"demo", "n2"}, {"other", "n1"}} {
		if err := open(other); err == nil || !strings.Contains(err.Error(), `node "n1" of cluster "demo"`) {
			t.Errorf("%v: %v", other, err)
		}
	}
	if err := open(own); err != nil {
		t.Error(err)
	}
}
