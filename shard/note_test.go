package shard

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
)

func (m *machine) note(producer string, seq uint64, of, body string) (string, bool, error) {
	n := Note{
		Producer: []byte(producer), Body: []byte(body),
		Claim: claims.Claim{Sequence: seq, Hash: xxh3.Hash128([]byte(of)).Bytes()},
	}
	err := m.Remember(&n)
	return string(n.Body), n.Replayed, err
}

// The first note of a sequence is the one that everybody gets: as it is, after a crash, from a checkpoint and from the
// ledger, however long it is. Requests of the same producer and sequence have nothing to do with it.
func TestNotesAreExact(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	notes := []string{"", "short", string(bytes.Repeat([]byte("medium"), 9)), string(make([]byte, NoteBytesMax))}
	for i, body := range notes {
		got, replayed, err := m.note("gw", uint64(i), "body", body)
		if err != nil || replayed || got != body {
			t.Fatal(i, len(got), replayed, err)
		}
		if r, err := m.claimed("gw", uint64(i), line("connect", "p", "d")); err != nil || r.Replayed {
			t.Fatal("a request of the same sequence:", err)
		}
	}
	again := func(when string) {
		t.Helper()
		for i, body := range notes {
			got, replayed, err := m.note("gw", uint64(i), "body", "another")
			if err != nil || !replayed || got != body {
				t.Fatalf("%s: note %d has %d bytes, replayed %v: %v", when, i, len(got), replayed, err)
			}
			if _, _, err := m.note("gw", uint64(i), "another body", ""); !errors.Is(err, claims.ErrReused) {
				t.Fatal(when, err)
			}
		}
	}
	again("as it is")
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	again("from the ledger")
	m.crash()
	again("after a crash")
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.crash()
	again("from a checkpoint")
	for _, p := range m.Producers(0, ProducerKey{}, 1000) {
		if p.Account != "" || p.Name != "gw" {
			t.Fatalf("shown: %+v", p)
		}
	}
}

// Doubles of a note agree, whoever comes first, and a producer that is deleted has no notes.
func TestNotesOfDoubles(t *testing.T) {
	m := newMachine(t)
	const doubles = 8
	var got [doubles]string
	var group sync.WaitGroup
	for i := range doubles {
		group.Go(func() {
			var err error
			if got[i], _, err = m.note("gw", 1, "body", string(rune('a'+i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range doubles {
		if got[i] != got[0] || got[0] == "" {
			t.Fatalf("%q", got)
		}
	}
	if found, err := m.ForgetProducer(&access.Token{AccountID: 3}, "gw"); err == nil && found {
		t.Fatal("a bound token deleted what is not its own")
	}
	for seq := uint64(2); seq < 700; seq++ {
		if _, _, err := m.note("gw", seq, "body", "n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := m.note("gw", 1, "body", "n"); !errors.Is(err, claims.ErrTooOld) {
		t.Fatal("an old sequence:", err)
	}
	all := m.token("all")
	if found, err := m.ForgetProducer(all, "gw"); err != nil || !found {
		t.Fatal(found, err)
	}
	if _, replayed, err := m.note("gw", 699, "body", "n"); err != nil || replayed {
		t.Fatal("of a deleted producer:", replayed, err)
	}
	n := Note{Producer: []byte("gw"), Token: all, Body: make([]byte, NoteBytesMax+1)}
	if err := m.Remember(&n); !errors.Is(err, errNoteTooLong) {
		t.Fatal(err)
	}
	m.revoke("all")
	n = Note{Producer: []byte("gw"), Token: all, Claim: claims.Claim{Sequence: 800}}
	if err := m.Remember(&n); !errors.Is(err, ErrTokenRevoked) {
		t.Fatal("with a token that was deleted:", err)
	}
}

// token makes an unbound token for gateways.
func (m *machine) token(name string) *access.Token {
	m.t.Helper()
	spec := access.Token{Name: name, Role: access.RoleGateway, Hash: [32]byte{1}}
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.CreateToken(by, spec)
	})
	return m.Catalogue().Token(name)
}

func (m *machine) revoke(name string) {
	m.t.Helper()
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.DeleteToken(by, name)
	})
}
