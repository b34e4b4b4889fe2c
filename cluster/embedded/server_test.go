package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// impatient gives up the first client, as a server does that hears nothing of it for 2 s.
type impatient struct{ asked atomic.Int32 }

func (i *impatient) Check(server.ClientAuthentication) bool { return i.asked.Add(1) > 1 }

// A connection within the process that is given up is made again: a machine may have stood still.
func TestConnectsAgain(t *testing.T) {
	o := Options{Node: "n1", Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	settings, err := o.settings("n1", "password")
	if err != nil {
		t.Fatal(err)
	}
	clients := &impatient{}
	settings.CustomClientAuthentication = clients
	s, err := o.begin(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.connect(t.Context(), "password"); err != nil {
		t.Fatal(err)
	}
	if n := clients.asked.Load(); n < 3 || !s.Conn().IsConnected() || !s.System().IsConnected() {
		t.Fatal(n, s.Conn().Status(), s.System().Status())
	}
}

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

// A line that comes all the time is said once in a while, with how many were left out.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	l := newLines(slog.New(slog.NewTextHandler(&out, nil)))
	l.Noticef("a notice")
	for i := range 5 {
		l.Errorf("route %d is down", i)
	}
	l.Warnf("something else")
	if got := strings.Count(out.String(), "\n"); got != 2 || !strings.Contains(out.String(), "route 0") {
		t.Fatalf("%d lines:\n%s", got, &out)
	}
	if leftOut, again := l.again("route %d is down", time.Now().Add(linesEvery)); again || leftOut != 4 {
		t.Fatal(leftOut, again)
	}
}
