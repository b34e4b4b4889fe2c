package recovery

import (
	"errors"
	"sync"

	"github.com/meterd/meterd/counters"
)

// shardLoader loads shards of the device table, several at a time, from sections that each hold a piece of one.
type shardLoader struct {
	table *counters.Table
	shard int    // whose pieces come, -1 before the first
	image []byte // its pieces so far
	busy  chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex
	err   error
}

func newShardLoader(t *counters.Table, workers int) *shardLoader {
	return &shardLoader{table: t, shard: -1, busy: make(chan struct{}, workers)}
}

// piece takes the next section. Pieces of one shard follow each other.
func (l *shardLoader) piece(section []byte) error {
	if len(section) == 0 {
		return errors.New("a section of the device table is empty")
	}
	if int(section[0]) != l.shard {
		if err := l.flush(); err != nil {
			return err
		}
		l.shard = int(section[0])
	}
	l.image = append(l.image, section[1:]...)
	return nil
}

// flush has the shard loaded whose pieces came last.
func (l *shardLoader) flush() error {
	if l.shard < 0 {
		return nil
	}
	shard, full := l.shard, l.image
	l.shard, l.image = -1, nil // The goroutine's now.
	return l.load(shard, full)
}

// load loads one shard in the background and keeps image; it returns the first error so far.
func (l *shardLoader) load(shard int, image []byte) error {
	l.busy <- struct{}{}
	l.wg.Go(func() {
		defer func() { <-l.busy }()
		if err := l.table.LoadShard(shard, image); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.err == nil {
				l.err = err
			}
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// wait returns when all are loaded, with the first error.
func (l *shardLoader) wait() error {
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
