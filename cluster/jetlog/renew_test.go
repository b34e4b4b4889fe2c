package jetlog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A stream that was deleted begins anew behind the longest copy, and one that has more than that is left alone.
func TestRenew(t *testing.T) {
	conn := startServers(t, 1)[0].Conn()
	s := testSettings(1)
	if _, _, err := Look(patient(t), conn, s); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	j, id := connect(t, conn, s)
	old, peers, err := Look(patient(t), conn, s)
	if err != nil || old.Identity != id || old.Origin != id || old.Begins != "" || len(peers) > 1 {
		t.Fatal(old, peers, err)
	}
	l := claim(t, j, id, "n1")
	for seq := uint64(1); seq <= 3; seq++ {
		if err := l.Append(testGroup(seq, byte(seq), 5)); err != nil {
			t.Fatal(err)
		}
	}
	ends := func(last uint64) func() (uint64, error) { return func() (uint64, error) { return last, nil } }
	_, err = Renew(patient(t), conn, s, old, "n1", ends(2))
	if err == nil || !strings.Contains(err.Error(), "has group 3") {
		t.Fatal(err)
	}
	grows := func() (uint64, error) { return 3, l.Barrier() }
	_, err = Renew(patient(t), conn, s, old, "n1", grows)
	if err == nil || !strings.Contains(err.Error(), "has grown") {
		t.Fatal("a stream was removed that somebody appends to", err)
	}
	if err := j.js.DeleteStream(patient(t), s.StreamName()); err != nil {
		t.Fatal(err)
	}
	s.Origin = id
	if _, err := Make(patient(t), conn, s); !errors.Is(err, ErrGone) {
		t.Fatal("a stream that was deleted is made as if it were the first", err)
	}
	renewed, err := Renew(patient(t), conn, s, old, "n1", ends(3))
	if err != nil || renewed.Identity == id || renewed.Origin != id || renewed.Seed != old.Seed || renewed.Begins != "n1" {
		t.Fatalf("%+v after %+v: %v", renewed, old, err)
	}
	if again, _, err := Look(patient(t), conn, s); err != nil || again != renewed {
		t.Fatal(again, err)
	}
	o := Options{Stream: j, Identity: renewed.Identity, Segments: l.Log, Node: "n1", Records: 1, Begins: true}
	f, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	next, err := f.Claim()
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Append(testGroup(4, 4, 5)); err != nil {
		t.Fatal(err)
	}
	// Again, over the stream that is there: it has nothing that the copy lacks.
	if _, err := Renew(patient(t), conn, s, renewed, "n2", ends(4)); err != nil {
		t.Fatal(err)
	}
}

// A server that was cut off takes no part, long before servers call it offline.
func TestOffline(t *testing.T) {
	for why, c := range map[string]struct {
		peer      jetstream.PeerInfo
		isOffline bool
	}{
		"follows":                  {jetstream.PeerInfo{Current: true, Active: time.Second}, false},
		"is behind":                {jetstream.PeerInfo{Active: time.Second, Lag: 5}, false},
		"just elected, follows":    {jetstream.PeerInfo{Current: true}, false},
		"just elected, heard none": {jetstream.PeerInfo{}, true},
		"cut off":                  {jetstream.PeerInfo{Active: 2 * peerSilentMax, Lag: 5}, true},
		"ended":                    {jetstream.PeerInfo{Offline: true, Current: true, Active: time.Second}, true},
	} {
		if got := isOffline(&c.peer); got != c.isOffline {
			t.Errorf("%s: %t", why, got)
		}
	}
}
