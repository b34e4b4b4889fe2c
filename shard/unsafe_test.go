package shard

import (
	"errors"
	"sync/atomic"
	"testing"
)

// While the copies of the log elsewhere cannot be relied on no event is counted, and reading goes on.
func TestUnsafeLogTakesNoEvents(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 1)
	m.submit(line("connect", "p", "d"))
	m.kill()
	var is atomic.Bool
	o := m.options()
	o.Unsafe = is.Load
	var err error
	if m.Engine, err = Open(o); err != nil {
		t.Fatal(err)
	}
	is.Store(true)
	if err := m.Submit(
		request(t, line("up", "p", "d")),
	); !errors.Is(err, ErrUnsafe) ||
		!m.IngestStopped(StoppedByCluster) {
		t.Fatal(err)
	}
	if err := m.unrecorded()["view"](); err != nil {
		t.Fatal(err)
	}
	is.Store(false)
	if err := m.Submit(request(t, line("up", "p", "d"))); err != nil || m.IngestStopped(StoppedByCluster) {
		t.Fatal(err)
	}
}
