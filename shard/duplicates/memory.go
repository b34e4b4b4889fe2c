package duplicates

import (
	"sync/atomic"

	"github.com/meterd/meterd/shard/record"
)

// Options is what a Memory is made of. The zero Options are the bounds of limits.go.
type Options struct {
	ShardMax int // keys of a shard, a power of two; a test's
}

// Memory is what is remembered. All methods are safe for concurrent use.
type Memory struct {
	shards [shards]shard
	held   atomic.Int64 // entries of all rings
	bytes  atomic.Int64
	found  atomic.Uint64
}

// New returns a Memory without any key.
func New(o Options) *Memory {
	if o.ShardMax == 0 {
		o.ShardMax = shardMax
	}
	m := &Memory{}
	for i := range m.shards {
		m.shards[i].max = o.ShardMax
	}
	return m
}

// Len returns how many keys are remembered.
func (m *Memory) Len() int64 { return m.held.Load() }

// Bytes returns what the memory takes.
func (m *Memory) Bytes() int64 { return m.bytes.Load() }

// Found returns how many duplicates were answered.
func (m *Memory) Found() uint64 { return m.found.Load() }

func (m *Memory) shard(k *record.EventKey) *shard { return &m.shards[k[0]%shards] }

// Begin returns what became of the event with this key less than KeptFor before nowS, Unix seconds; 0: it is not known.
// Until Remember or Forget, one of which must follow, every other Begin of the key waits.
func (m *Memory) Begin(k *record.EventKey, nowS int64) record.Outcome {
	s := m.shard(k)
	s.mu.Lock()
	if i, found := s.find(k); found {
		if e := s.at(i); nowS-int64(e.atS) < keptS {
			return e.outcome
		}
	}
	return 0
}

// Remember notes what became of the event that has begun.
func (m *Memory) Remember(r record.Decided) {
	s := m.shard(&r.Key)
	m.put(s, &r)
	s.mu.Unlock()
}

// Forget ends what Begin began, and remembers nothing. isDuplicate says that the event was answered as its first.
func (m *Memory) Forget(k *record.EventKey, isDuplicate bool) {
	if isDuplicate {
		m.found.Add(1)
	}
	m.shard(k).mu.Unlock()
}

// Join notes an event as recovery reads it.
func (m *Memory) Join(r *record.Decided) {
	s := m.shard(&r.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, found := s.find(&r.Key); found {
		e := s.at(i)
		if e.atS > r.AtS || e.atS == r.AtS && e.outcome >= r.Outcome {
			return
		}
	}
	m.put(s, r)
}

// Tidy forgets what is too old at nowMs, Unix milliseconds, and gives back the memory of shards that are empty then.
func (m *Memory) Tidy(nowMs int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		held, bytes := s.n, s.bytes()
		s.expire(nowMs / 1000)
		s.free()
		m.account(s, held, bytes)
		s.mu.Unlock()
	}
}

// put adds an entry. s is locked.
func (m *Memory) put(s *shard, r *record.Decided) {
	held, bytes := s.n, s.bytes()
	s.expire(int64(r.AtS))
	s.push(entry{r.Key, r.AtS, r.Outcome})
	m.account(s, held, bytes)
}

func (m *Memory) account(s *shard, held, bytes int) {
	m.held.Add(int64(s.n - held))
	m.bytes.Add(int64(s.bytes() - bytes))
}
