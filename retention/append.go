package retention

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Append writes one group and returns nil when it is on disk: one Badger transaction, synced. Head and chunks are read
// until it returns and not kept. It is called by one goroutine, with groups in their order. After an error the group
// may have reached the disk or not, and every later call fails: the process must end, and the next start tells.
func (l *Log) Append(g *Group) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	failure := l.failure
	l.mu.Unlock()
	if failure != nil {
		return failure
	}
	if err := l.append(g); err != nil {
		err = fmt.Errorf("append to the commit log: %w", err)
		l.stop(err)
		return err
	}
	return nil
}

func (l *Log) append(g *Group) error {
	if err := l.admit(g); err != nil {
		return err
	}
	if err := l.rotate(g.LastMs); err != nil {
		return err
	}
	l.head.of(g, l.chain)
	l.value = l.head.append(l.value[:0])
	l.head.head = nil
	if err := l.write(g); err != nil {
		return err
	}
	if err := l.mark.set(g.Seq); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.writer
	if s.empty() {
		s.first, s.firstMs = g.Seq, g.FirstMs
	}
	s.last, s.lastMs, s.chain = g.Seq, g.LastMs, chainOf(l.value)
	s.bytes += int64(len(l.value) + g.bytes() - len(g.Head) + (1+len(g.Chunks))*entryOverheadBytes)
	l.last, l.firstMs, l.lastMs, l.chain = s.last, g.FirstMs, s.lastMs, s.chain
	return nil
}

// entryOverheadBytes is what a key costs beside its value, in the value log and in a table.
const entryOverheadBytes = 64

// admit refuses a group that is not the next one, or goes back in time.
func (l *Log) admit(g *Group) error {
	if err := g.validate(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case g.Seq != l.last+1:
		return fmt.Errorf("group %d does not follow group %d", g.Seq, l.last)
	case g.FirstMs < l.firstMs || g.LastMs < l.lastMs:
		return fmt.Errorf(
			"group %d was decided at %d to %d, before group %d at %d to %d",
			g.Seq,
			g.FirstMs,
			g.LastMs,
			l.last,
			l.firstMs,
			l.lastMs,
		)
	}
	return nil
}

// write is the one synced transaction.
func (l *Log) write(g *Group) error {
	txn := l.instance.begin()
	defer txn.Discard()
	keys := make([]byte, 0, keyBytes*(1+len(g.Chunks)))
	set := func(part int, value []byte) error {
		at := len(keys)
		keys = appendKey(keys, g.Seq, part)
		if len(value) >= commitValueThresholdBytes {
			l.instance.syncer.hasValues = true
		}
		return txn.SetEntry(badger.NewEntry(keys[at:len(keys):len(keys)], value))
	}
	l.instance.syncer.hasValues = false
	err := set(0, l.value)
	for i, c := range g.Chunks {
		if err == nil {
			err = set(i+1, c)
		}
	}
	if errors.Is(err, badger.ErrTxnTooBig) {
		return fmt.Errorf("group %d: %d chunks of %d bytes in all: %w", g.Seq, len(g.Chunks), g.bytes(), err)
	}
	if err != nil {
		return fmt.Errorf("group %d: %w", g.Seq, err)
	}
	return l.instance.commit(txn)
}
