package embedded

import (
	"strings"
	"testing"
)

// A server keeps its name for as long as its directory, and no longer.
func TestNameBelongsToDirectory(t *testing.T) {
	o := Options{Node: "n1", Dir: t.TempDir()}
	name, err := o.serverName()
	if err != nil || !strings.HasPrefix(name, "n1-") {
		t.Fatal(name, err)
	}
	if again, err := o.serverName(); err != nil || again != name {
		t.Fatalf("%q after %q: %v", again, name, err)
	}
	o.Dir = t.TempDir()
	if other, err := o.serverName(); err != nil || other == name {
		t.Fatalf("an empty directory has the name %q: %v", other, err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"has a node":       {},
		"and a secret":     {Node: "n", Dir: "d", Listen: "127.0.0.1:1"},
		"no number from 1": {Node: "n", Dir: "d", Cluster: "c", Secret: "s", Listen: "127.0.0.1:0"},
		`address "elsewhere"`: {
			Node: "n", Dir: "d", Cluster: "c", Secret: "s", Listen: "127.0.0.1:1", Routes: []string{"elsewhere"},
		},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, not %q", o, err, want)
		}
	}
}
