package cells

import (
	"sync"
	"sync/atomic"
	"time"
)

// lines are the producers whose streams have batches in hand.
type lines struct {
	mu   sync.Mutex
	open map[string]*line
}

// line is the batches of one producer's streams, in their order. One goroutine finds their cells, one batch after the
// other: a batch that goes by its home holds up those behind it, for one or two syncs of a disk. Then each cell has a
// queue, and one call at a time asks for what has gathered in it, so that the cell decides it in this order and stores
// it together.
//
//	Decide ─► waiting ─► prepare ─┬─► queue of cell 1 ─► call ─┬─► last part answered ─► finish ─► Settle
//	                              └─► queue of cell 5 ─► call ─┘
type line struct {
	e   *Engine
	key string
	// guarded by lines.mu: the tasks in hand, without those that wait
	waiting []*task
	inHand  int
	runs    bool // a goroutine prepares

	mu     sync.Mutex
	queues map[int]*queue
}

// queue is the parts of a line that wait for one cell.
type queue struct {
	waiting []*share // guarded by the line's mu
	runs    bool     // guarded by the line's mu: a goroutine asks
}

// enter puts a task at the end of its line.
func (ls *lines) enter(e *Engine, t *task) {
	key := "p" + string(t.r.Producer)
	if len(t.r.Producer) == 0 {
		key = "t" + t.r.Token.Name
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[key]
	if l == nil {
		l = &line{e: e, key: key, queues: map[int]*queue{}}
		ls.open[key] = l
	}
	l.waiting = append(l.waiting, t)
	l.inHand++
	if !l.runs {
		l.runs = true
		go l.run()
	}
}

// next returns the task to prepare, nil if there is none.
func (l *line) next() *task {
	ls := &l.e.lines
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(l.waiting) == 0 {
		l.runs = false
		return nil
	}
	t := l.waiting[0]
	l.waiting = l.waiting[1:]
	return t
}

// leave ends a task. A line without any is forgotten.
func (l *line) leave() {
	ls := &l.e.lines
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.inHand--; l.inHand == 0 {
		delete(ls.open, l.key)
	}
}

func (l *line) run() {
	for t := l.next(); t != nil; t = l.next() {
		if err := l.e.prepare(t); err != nil {
			l.end(t, err)
			continue
		}
		if len(t.parts) == 0 {
			l.end(t, l.e.finish(t))
			continue
		}
		left := new(atomic.Int32)
		left.Store(int32(len(t.parts)))
		for i := range t.parts {
			s := &t.parts[i]
			s.done = func() {
				if left.Add(-1) == 0 {
					l.end(t, l.e.finish(t))
				}
			}
			l.ask(s)
		}
	}
}

func (l *line) end(t *task, err error) {
	l.leave()
	t.answer.set(err)
}

// ask puts a part into the queue of its cell.
func (l *line) ask(s *share) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[s.cell]
	if q == nil {
		q = &queue{}
		l.queues[s.cell] = q
	}
	q.waiting = append(q.waiting, s)
	if !q.runs {
		q.runs = true
		go l.serve(q)
	}
}

// take returns what one call asks for, nil if nothing waits: all of one token, which the cell asks for once.
func (l *line) take(q *queue) []*share {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.waiting) && n < streamCallRequests {
		s := q.waiting[n]
		bytes += len(s.batch)
		if n > 0 && (bytes > streamCallBytes || s.task.r.Token.Hash != q.waiting[0].task.r.Token.Hash) {
			break
		}
		n++
	}
	list := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	q.runs = n > 0
	return list
}

// serve asks the cell of a queue until nothing waits.
func (l *line) serve(q *queue) {
	for list := l.take(q); len(list) > 0; list = l.take(q) {
		bytes := callHeadBytes
		for _, s := range list {
			bytes += len(s.batch) + partHeadBytes
		}
		w := writer{b: make([]byte, 0, bytes)}
		w.who(whoOf(list[0].task.r))
		w.uint(uint64(len(list)))
		for _, s := range list {
			w.part(&s.part)
			s.batch = nil
		}
		l.e.askFor(list, list[0].cell, w.b, time.Now().Add(askTimeout))
		for _, s := range list {
			s.done()
		}
	}
}
