package commands

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// engine is what Commands asks: sessions, a gate, a clock, an audit log.
type engine struct {
	sessions []atomic.Uint64 // change numbers, by ordinal; 0 is no device
	gate     sync.RWMutex
	nowMs    atomic.Int64
	audit    []Refresh
}

func newEngine(devices int) *engine {
	e := &engine{sessions: make([]atomic.Uint64, devices+1)}
	e.nowMs.Store(1_800_000_000_000)
	for i := range devices {
		e.sessions[i+1].Store(1)
	}
	return e
}

func (e *engine) commands() *Commands {
	return New(Options{
		Change: func(o counters.Ordinal) (uint64, bool) {
			n := e.sessions[o].Load()
			return n, n > 0
		},
		Gate:  e.gate.RLocker(),
		NowMs: e.nowMs.Load,
		OldRefreshes: func(after, to uint64, fn func(Refresh) bool) error {
			for _, r := range e.audit {
				if r.Seq > after && r.Seq <= to && !fn(r) {
					break
				}
			}
			return nil
		},
	})
}

// started returns Commands of a first run.
func (e *engine) started() *Commands {
	c := e.commands()
	c.Start(uint64(len(e.audit)))
	return c
}

// accountOf deals devices to three accounts, holderOf to two producers and none.
func accountOf(o uint64) uint32 { return uint32(o%3) + 1 }
func holderOf(o uint64) uint32  { return uint32(o / 3 % 3) }

// putOffline changes a session and adds the disconnect.
func (e *engine) putOffline(c *Commands, o uint64) record.Command {
	m, _ := c.Add(func() (record.Command, bool) {
		return record.Command{
			Ordinal: o, Account: accountOf(o), Holder: holderOf(o), Change: e.sessions[o].Add(1), AtMs: e.nowMs.Load(),
			Reason: event.LicenseExhausted,
		}, true
	})
	return m
}

// renew changes a session otherwise than by a connect.
func (e *engine) renew(c *Commands, o uint64) (record.Command, bool) {
	return c.Renew(counters.Ordinal(o), func() (from, to uint64) {
		to = e.sessions[o].Add(1)
		return to - 1, to
	})
}

// fataler is a test of testing or of rapid.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// page returns what a listener hears behind a place, as text, and where to go on.
func page(t fataler, c *Commands, after Place, who Listener) (list []string, next Page) {
	t.Helper()
	p, err := c.Page(after, who)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range p.Items {
		list = append(list, text(it))
	}
	return list, p
}

func text(it Item) string {
	if it.Product != 0 {
		return fmt.Sprintf("refresh %d", it.Product)
	}
	return fmt.Sprintf("device %d %s", it.Device, it.Reason)
}

// all returns everything that a listener hears behind a place, where to go on, and the id of the last event.
func all(t fataler, c *Commands, after Place, who Listener) (list []string, next Place, id string) {
	t.Helper()
	for {
		said, p := page(t, c, after, who)
		list, after = append(list, said...), p.Next
		if n := len(p.Items); n > 0 {
			id = string(p.Items[n-1].Place.AppendText(nil))
		}
		if !closed(p.More) {
			return list, after, id
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
