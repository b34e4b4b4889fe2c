package rawlog

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/archive"
)

// Administration says what is erased; *shard.Engine is one.
type Administration interface {
	Catalogue() *license.Catalogue
	// Durable returns when what Catalogue has returned before is durable.
	Durable() error
}

// erasing is what the view knows of erasures.
//
//	catalogue ──► readers: at once, row by row as it is given, wherever the row lies
//	    └─ durable ──► archive.Store: whatever is written from then on, and what is rewritten
type erasing struct {
	who     atomic.Pointer[Administration] // nil: nobody has said
	mu      sync.Mutex
	learned uint64 // the change up to which the Store knows; guarded by mu
}

// SetAdministration says who knows what is erased. It comes before the first reader.
func (v *View) SetAdministration(who Administration) { v.erasing.who.Store(&who) }

// catalogue returns what administration has said, nil before SetAdministration.
func (v *View) catalogue() *license.Catalogue {
	who := v.erasing.who.Load()
	if who == nil {
		return nil
	}
	return (*who).Catalogue()
}

// erasedUntilMs returns until when topics and payloads of a device are erased, 0 for none.
func (v *View) erasedUntilMs(product uint32, device []byte) int64 {
	c := v.catalogue()
	if c == nil {
		return 0
	}
	return c.ErasedUntilMs(product, device)
}

// Erasures returns what is erased now, for readers of many devices.
func (v *View) Erasures() *archive.Erasures {
	c := v.catalogue()
	if c == nil {
		return nil
	}
	return erasuresOf(c)
}

func erasuresOf(c *license.Catalogue) *archive.Erasures {
	all := c.Erasures()
	list := make([]archive.Erasure, len(all))
	for i, x := range all {
		list[i] = archive.Erasure{
			Product: x.Product, Name: x.Device, Known: x.Known, Ordinal: x.Ordinal, Seq: x.Seq, SinceMs: x.SinceMs,
			UntilMs: x.UntilMs,
		}
	}
	return archive.NewErasures(c.ErasuresSeq(), list)
}

// learn tells the Store what is erased durably: the number of a change that a crash takes back is given again.
func (v *View) learn() {
	x := &v.erasing
	x.mu.Lock()
	defer x.mu.Unlock()
	who := x.who.Load()
	if who == nil {
		return
	}
	c := (*who).Catalogue()
	if c.ErasuresSeq() == x.learned || (*who).Durable() != nil { // Of an engine that has stopped nothing more is learned.
		return
	}
	v.o.Store.SetErasures(erasuresOf(c))
	x.learned = c.ErasuresSeq()
}

// erasuresPending counts the devices of whom something that was erased is still on the disk, for all that is known, and
// says when the first of them was erased last, Unix milliseconds; 0 without one.
func (v *View) erasuresPending() (n int, oldestMs int64) {
	c := v.catalogue()
	if c == nil {
		return 0, 0
	}
	through := v.o.Store.ErasedThrough()
	for _, x := range c.ErasuresBefore(math.MaxInt64) {
		if x.Seq <= through {
			continue
		}
		if n++; n == 1 || x.UntilMs < oldestMs {
			oldestMs = x.UntilMs
		}
	}
	return n, oldestMs
}

// erasureAge returns how long ago the oldest erasure was asked for of which something is still on the disk, 0 without
// one.
func (v *View) erasureAge() time.Duration {
	n, oldestMs := v.erasuresPending()
	now := v.now.Load()
	if n == 0 || now == nil {
		return 0
	}
	return time.Duration(max(0, (*now)()-oldestMs)) * time.Millisecond
}

// LogEraseDue implements shard.Eraser.
func (v *View) LogEraseDue(nowMs int64) (change uint64) {
	v.learn()
	return v.o.Store.LogEraseDue(nowMs)
}

// MustReach implements shard.Eraser.
func (v *View) MustReach(group uint64) { v.o.Store.MustReach(group) }

// LogErased implements shard.Eraser.
func (v *View) LogErased(change uint64, beganMs int64) error {
	return v.o.Store.LogErased(change, beganMs)
}

// ErasedThrough implements shard.Eraser.
func (v *View) ErasedThrough() (change uint64) {
	v.learn()
	return v.o.Store.ErasedThrough()
}
