package webhook

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/webhook/send"
)

// memStore is a store in memory.
type memStore struct {
	mu     sync.Mutex
	rows   map[string][]byte
	at     ledger.Position
	writes int
	err    error // of the next writes
}

func newMemStore() *memStore { return &memStore{rows: map[string][]byte{}} }

// crash returns what a crash leaves.
func (m *memStore) crash() *memStore {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memStore{rows: maps.Clone(m.rows), at: m.at}
}

func (m *memStore) Position() ledger.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *memStore) Write(entries []ledger.Entry, to ledger.Position) error {
	if err := m.WritePart(entries); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = to
	return nil
}

func (m *memStore) WritePart(entries []ledger.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.writes++
	n := 0
	for i := range entries {
		n += len(entries[i].Key) + len(entries[i].Value) + 32
		if entries[i].Delete {
			delete(m.rows, string(entries[i].Key))
		} else {
			m.rows[string(entries[i].Key)] = bytes.Clone(entries[i].Value)
		}
	}
	if n > ledger.TransactionBytesMax || len(entries) > ledger.TransactionEntriesMax {
		return ledger.ErrTooLarge
	}
	return nil
}

func (m *memStore) Get(key []byte) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.rows[string(key)]
	return v, ok, nil
}

func (m *memStore) Scan(prefix, start []byte, _ bool, fn func(k, v []byte) (bool, error)) error {
	m.mu.Lock()
	rows := map[string][]byte{}
	for k, v := range m.rows {
		if bytes.HasPrefix([]byte(k), prefix) && k >= string(start) {
			rows[k] = v
		}
	}
	m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if more, err := fn([]byte(k), rows[k]); err != nil || !more {
			return err
		}
	}
	return nil
}

func (m *memStore) Maintain(context.Context, int64) error { return nil }
func (m *memStore) Close() error                          { return nil }

// count returns how many rows begin with a prefix.
func (m *memStore) count(prefix string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.rows {
		if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

// world is an engine of which only the catalogue is there; tests change it.
type world struct {
	t        testing.TB
	mu       sync.Mutex
	cat      *license.Catalogue
	nowMs    int64
	stopped  map[string]bool
	outlooks map[uint32]*query.Outlook
	looks    int
	refuse   error
}

func newWorld(t testing.TB) *world {
	return &world{
		t: t, cat: license.New("default", time.Hour), nowMs: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC).UnixMilli(),
		stopped: map[string]bool{}, outlooks: map[uint32]*query.Outlook{},
	}
}

func (w *world) Catalogue() *license.Catalogue {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cat
}

func (w *world) NowMs() int64 { return w.nowMs }

func (w *world) IngestStopped(reason string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped[reason]
}

func (w *world) View(fn func(*query.View)) error {
	if w.refuse != nil {
		return w.refuse
	}
	fn(&query.View{View: &shard.View{Catalogue: w.Catalogue(), NowMs: w.nowMs}})
	return nil
}

func (w *world) Outlooks(
	_ context.Context,
	days int,
	want func(*license.Product) bool,
) (map[uint32]*query.Outlook, error) {
	w.looks++
	list := map[uint32]*query.Outlook{}
	for id, o := range w.outlooks {
		if want(w.cat.ProductByID(id)) {
			list[id] = o
		}
	}
	if days != outlookDays {
		w.t.Errorf("asked for %d days", days)
	}
	return list, w.refuse
}

// set swaps in the catalogue that fn returns.
func (w *world) set(fn func(*license.Catalogue, license.Actor) (*license.Catalogue, error)) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	next, err := fn(w.cat, license.Actor{Token: "admin", AtMs: w.nowMs + int64(w.cat.Seq)})
	if err != nil {
		w.t.Fatal(err)
	}
	if next != nil {
		w.cat = next
	}
}

// product makes a product of an account, which is made too if it is not there.
func (w *world) product(name, account, zone string) *license.Product {
	w.t.Helper()
	w.set(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
		if c.Account(account) != nil {
			return nil, nil
		}
		next, _, _, err := c.CreateAccount(by, account, license.Enterprise, "")
		return next, err
	})
	w.set(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
		next, _, _, err := c.CreateProduct(by, license.ProductSpec{Name: name, Account: account, Zone: zone})
		return next, err
	})
	return w.cat.Product([]byte(name))
}

func (w *world) credit(product, order string, n uint64, units bool) {
	w.t.Helper()
	w.set(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
		next, _, _, err := c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: n, Units: units})
		return next, err
	})
}

// hook makes or changes a webhook.
func (w *world) hook(name, account string, events ...string) *license.Hook {
	w.t.Helper()
	return w.hookAt(name, account, "https://"+name, events...)
}

func (w *world) hookAt(name, account, url string, events ...string) *license.Hook {
	w.t.Helper()
	w.set(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
		next, _, _, _, err := c.SetHook(by, license.HookSpec{
			Name: name, URL: url, Events: events, Account: account, Secret: []byte(name),
		})
		return next, err
	})
	return w.cat.Hook(name)
}

func (w *world) unhook(name string) {
	w.t.Helper()
	w.set(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
		next, _, err := c.DeleteHook(by, name)
		return next, err
	})
}

// open opens a service on a store that calls nobody but receive.
func open(t testing.TB, store Store, receive func(context.Context, *send.Call) send.Outcome) *Service {
	t.Helper()
	s, err := Open(Options{Store: store, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.send = receive
	return s
}

// inbox is a receiver that keeps what it gets, and answers what a test sets.
type inbox struct {
	mu     sync.Mutex
	got    []string // URL and id
	at     []time.Time
	answer map[string]send.Outcome // by URL
	hang   map[string]bool         // URLs that never answer
}

func newInbox() *inbox { return &inbox{answer: map[string]send.Outcome{}, hang: map[string]bool{}} }

func (b *inbox) receive(ctx context.Context, c *send.Call) send.Outcome {
	b.mu.Lock()
	b.got, b.at = append(b.got, c.URL+" "+c.ID), append(b.at, time.Now())
	answer, hangs := b.answer[c.URL], b.hang[c.URL]
	b.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return send.Outcome{Err: ctx.Err()}
	}
	return answer
}

// set says what a URL answers from now on.
func (b *inbox) set(url string, o send.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer[url] = o
}

// take returns what came since the last call.
func (b *inbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got, b.at = nil, nil
	return got
}

var errRefused = errors.New("answered 500")

// say queues messages with these ids for a hook.
func say(t testing.TB, s *Service, h *license.Hook, ids ...string) {
	t.Helper()
	var list []addressed
	for _, id := range ids {
		list = append(list, addressed{h.ID, &message{
			ID: id, Event: "device.quota_80", Body: []byte(`{}`), QueuedMs: time.Now().UnixMilli(),
		}})
	}
	if err := s.queue.add(list, nil, nil); err != nil {
		t.Fatal(err)
	}
}
