package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
)

// Nobody reads an old segment, an old directory of the archive or an old table of the ledger until somebody asks for
// what is in it. So all of them are read in the background now and then, slowly, and proved: what has gone bad is named
// while other copies are whole.

// bytePace bounds what all cells of a process read together.
type bytePace struct {
	perSecond int64
	mu        sync.Mutex
	next      time.Time // when what was read is paid for
}

// rest waits for as long as reading so many bytes may take. It returns ctx's error.
func (p *bytePace) rest(ctx context.Context, bytes int64) error {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(bytes) * time.Second / time.Duration(p.perSecond))
	wait := p.next.Sub(now)
	p.mu.Unlock()
	return pause(ctx, wait)
}

// pause waits, and returns ctx's error if that ends first.
func pause(ctx context.Context, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// scrub proves what lies on the disk for long, every so often until ctx ends.
func (s *state) scrub(ctx context.Context, every time.Duration, pace *bytePace) {
	for wait := min(every, scrubFirst); pause(ctx, wait) == nil; {
		began := time.Now()
		rest := func(bytes int64) error {
			s.health.scrubbed.Add(uint64(bytes))
			return pace.rest(ctx, bytes)
		}
		for _, prove := range []func(func(int64) error) error{
			s.log.Prove, s.files.archive.Prove, s.files.ledger.Prove, s.files.webhooks.Prove,
		} {
			if err := prove(rest); err != nil && ctx.Err() == nil {
				s.health.damaged(err)
			}
		}
		wait = max(every-time.Since(began), every/2)
	}
}

// health is what is known to be damaged of a state's files, or to have failed for ever, while decisions go on.
type health struct {
	tell     func(error) // is told each of these once; it must not wait
	mu       sync.Mutex
	known    map[string]bool // paths, or of what has none the text; at most damagesMax
	first    []error         // of these, at most damagesShown
	scrubbed atomic.Uint64   // bytes
}

// failed is told what is damaged, or has failed for ever. It may be told the same again.
func (h *health) failed(err error) {
	found := disk.Damages(err)
	if len(found) == 0 {
		found[err.Error()] = err
	}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		if h.isNew(path, found[path]) {
			h.tell(found[path])
		}
	}
}

// isNew notes what was not known yet. Beyond damagesMax nothing is new any more.
func (h *health) isNew(path string, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known[path] || len(h.known) == damagesMax {
		return false
	}
	if h.known == nil {
		h.known = map[string]bool{}
	}
	h.known[path] = true
	if len(h.first) < damagesShown {
		h.first = append(h.first, err)
	}
	return true
}

// damaged is told why something cannot be read. What the machine is to blame for is nobody's damage.
func (h *health) damaged(err error) {
	switch {
	case errors.Is(err, disk.ErrDamaged):
		h.failed(err)
	case !disk.IsOfMachine(err):
		h.failed(fmt.Errorf("something on the disk is %w: %w; check the disk", disk.ErrDamaged, err))
	}
}

// view is told why a view cannot follow the log. Unless something is damaged it is tried again.
func (h *health) view(err error) {
	if errors.Is(err, disk.ErrDamaged) {
		h.failed(err)
	}
}

// Status says what is damaged, in lines for people.
func (h *health) Status() (lines []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, err := range h.first {
		lines = append(lines, "DAMAGED: "+err.Error())
	}
	switch n := len(h.known); {
	case n == damagesMax:
		lines = append(lines, fmt.Sprintf("DAMAGED: %d files and directories or more, the log names the first %d", n, n))
	case n > len(h.first):
		lines = append(lines, fmt.Sprintf("DAMAGED: %d files and directories, the log names all of them", n))
	}
	return lines
}

func (h *health) isDamaged() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.known) > 0
}

func (h *health) register(set *metric.Set) {
	set.Gauges("meterd_damaged",
		"Whether something on the disk was found to be damaged, or has failed for ever, since the start, 1 or 0.").
		Whether(h.isDamaged)
	set.Counters("meterd_scrubbed_bytes_total",
		"Bytes of log, archive, ledger and queues of webhooks that were read to prove them.").
		Func(func() float64 { return float64(h.scrubbed.Load()) })
}
