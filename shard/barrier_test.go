package shard

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
)

// barrier is the log's of a cluster: it counts who asks whether this engine still owns it.
type barrier struct {
	asked atomic.Int64
	gone  atomic.Bool
}

func (b *barrier) prove() error {
	b.asked.Add(1)
	if b.gone.Load() {
		return errors.New("another node owns the log")
	}
	return nil
}

func newSharedMachine(t *testing.T) (*machine, *barrier) {
	m := newMachine(t)
	m.product("p1", `{}`, 1)
	m.submit(line("connect", "p1", "d1"))
	m.administrator()
	m.kill()
	o, b := m.options(), &barrier{}
	o.Barrier = b.prove
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m.Engine = e
	return m, b
}

// unrecorded is all that is answered without a record. It returns whatever is told, and ErrStopped if nothing is.
func (m *machine) unrecorded() map[string]func() error {
	gone := &access.Token{Name: "gone", Role: access.RoleAdmin, Hash: [32]byte{1}}
	refused := func(want error, err error) error {
		if errors.Is(err, want) {
			return nil
		}
		return err
	}
	with := func(r *Request, change func(*Request)) *Request {
		change(r)
		return r
	}
	unknown := func() error { return m.Submit(request(m.t, line("up", "p9", "d1"))) }
	check := func() error { return m.Check(request(m.t, line("up", "p1", "d1"))) }
	view := func() error { return m.View(func(*View) {}) }
	repeated := func() error { return m.Submit(m.sequenceSeven()) }
	return map[string]func() error{
		"unknown product": unknown, "check": check, "view": view, "repeated": repeated,
		"reused": func() error {
			r := with(m.sequenceSeven(), func(r *Request) { r.Claim.Hash[0]++ })
			return refused(claims.ErrReused, m.Submit(r))
		},
		"revoked": func() error {
			r := with(request(m.t, line("up", "p1", "d1")), func(r *Request) { r.Token = gone })
			return refused(ErrTokenRevoked, m.Submit(r))
		},
		"revoked for a check": func() error {
			r := with(request(m.t, line("up", "p1", "d1")), func(r *Request) { r.Token = gone })
			return refused(ErrTokenRevoked, m.Check(r))
		},
		"revoked for a change": func() error {
			return refused(ErrTokenRevoked, m.Administer("gone", gone, nil))
		},
		"refused change": func() error {
			err := m.Administer("test", nil, func(c *license.Catalogue, by license.Actor) (
				*license.Catalogue, *license.Change, error,
			) {
				next, ch, _, err := c.CreateAccount(by, "acc-p1", license.Personal, "")
				return next, ch, err
			})
			var p *event.Problem
			if errors.As(err, &p) {
				return nil
			}
			return err
		},
		"change of nothing": func() error {
			return m.Administer("test", nil, func(*license.Catalogue, license.Actor) (
				*license.Catalogue, *license.Change, error,
			) {
				return nil, nil, nil
			})
		},
		"nobody is offline": func() error {
			_, err := m.Offline(m.Catalogue().Token("admin"), "nobody")
			return err
		},
		"no producer": func() error {
			_, err := m.ForgetProducer(m.Catalogue().Token("admin"), "nobody")
			return err
		},
	}
}

func (m *machine) sequenceSeven() *Request {
	r := request(m.t, line("up", "p1", "d1"))
	r.Producer, r.Claim = []byte("gw"), &claims.Claim{Sequence: 7}
	return r
}

// What leaves no record leaves only when the log has said that it is still this engine's.
func TestUnrecordedAnswersAreProved(t *testing.T) {
	m, b := newSharedMachine(t)
	if err := m.Submit(m.sequenceSeven()); err != nil {
		t.Fatal(err)
	}
	for name, answer := range m.unrecorded() {
		before := b.asked.Load()
		if err := answer(); err != nil {
			t.Fatal(name, err)
		}
		if b.asked.Load() == before {
			t.Errorf("%s: nobody asked", name)
		}
	}
	before := b.asked.Load()
	m.submit(line("up", "p1", "d1"))
	if b.asked.Load() != before {
		t.Error("a group with records needs no other proof")
	}
}

// An engine whose log went to another node says nothing any more.
func TestUnrecordedAnswersOfADeposedEngine(t *testing.T) {
	for name := range (&machine{}).unrecorded() {
		t.Run(name, func(t *testing.T) {
			m, b := newSharedMachine(t)
			if err := m.Submit(m.sequenceSeven()); err != nil {
				t.Fatal(err)
			}
			b.gone.Store(true)
			if err := m.unrecorded()[name](); !errors.Is(err, ErrStopped) {
				t.Fatalf("%v", err)
			}
			<-m.Failed()
		})
	}
}
