package recovery

import (
	"sync"

	"github.com/meterd/meterd/counters"
)

// shardLoader loads shards of the device table, several at a time.
type shardLoader struct {
	table *counters.Table
	busy  chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex
	err   error
}

func newShardLoader(t *counters.Table, workers int) *shardLoader {
	return &shardLoader{table: t, busy: make(chan struct{}, workers)}
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
