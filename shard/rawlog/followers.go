package rawlog

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/views"
)

// followers are the seats of those who follow the raw log, and the one reader of the log that serves them all. The
// reader runs while there are seats.
type followers struct {
	v      *View
	queued atomic.Int64  // bytes of the rows that wait in seats, or were taken last
	behind atomic.Uint64 // seats that were taken away, counted
	rows   atomic.Uint64 // that were put in seats, counted

	// searching has what followers need to search log or archive, for some at once.
	searching  chan *searcher
	seatBytes  int          // of limits.go, or a test's
	seatsBytes int64        // the same
	pageRows   int          // catchUpRows, or a test's
	step       func(string) // for tests: called between the steps of a follower

	mu     sync.Mutex
	seats  []*seat       // never changed, but replaced
	reader *followReader // nil: there are no seats
	// audience is what the reader hands rows out by. It is never changed, but replaced.
	audience atomic.Pointer[audience]
}

// errBehind says that a seat was taken away: its follower has not taken what waited in it, or the reader has lost its
// place in the log. The follower catches up, and takes another seat.
var errBehind = errors.New("the follower is behind")

// searcher is the memory of a follower that reads the log by itself.
type searcher struct {
	groups groupReader
	block  commitlog.Block
}

func newFollowers(v *View) *followers {
	h := &followers{
		v: v, searching: make(chan *searcher, searchesMax), seatBytes: seatBytes, seatsBytes: seatsBytes,
		pageRows: catchUpRows,
	}
	for range searchesMax {
		h.searching <- &searcher{groups: groupReader{v: v}}
	}
	return h
}

// join gives a follower a seat. The rows of every group that is not durable yet will be put in it, but perhaps not
// those of the groups that are.
func (h *followers) join(f *follower) *seat {
	s := &seat{h: h, f: f, more: make(chan struct{}, 1), ordinal: f.ordinal, isKnown: f.isKnown}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader == nil {
		h.reader = newFollowReader(h)
		go h.reader.run()
	}
	s.reader = h.reader
	h.seat(append(slices.Clone(h.seats), s))
	return s
}

// leave gives seats back.
func (h *followers) leave(gone ...*seat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(h.seats), func(s *seat) bool { return slices.Contains(gone, s) })
	if len(left) == len(h.seats) {
		return
	}
	h.seat(left)
}

// seat replaces the seats, and ends the reader if there are none. mu is held.
func (h *followers) seat(list []*seat) {
	h.seats = list
	if len(list) == 0 && h.reader != nil {
		h.reader.end()
		h.reader = nil
	}
	h.audience.Store(newAudience(h.reader, list))
}

// learn notes the ordinal of a device that some seats know by its name alone.
func (h *followers) learn(d *deviceSeats, ordinal uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range d.seats {
		s.ordinal, s.isKnown = ordinal, true
	}
	h.seat(h.seats)
}

// endReader takes all seats away, since their reader cannot go on behind a place, nil if that is not known.
func (h *followers) endReader(r *followReader, passed *logPlace, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader != r { // Nobody was left, and whoever came since has another reader.
		return
	}
	for _, s := range h.seats {
		s.close(passed, why)
	}
	h.seat(nil)
}

func (h *followers) at(step string) {
	if h.step != nil {
		h.step(step)
	}
}

// count returns how many have a seat.
func (h *followers) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seats)
}

// audience says who follows what. Only its own reader puts rows in its seats: one that has ended may still be busy.
type audience struct {
	reader   *followReader
	products map[uint32]*productSeats
	ordinals map[uint64]*deviceSeats
	// looksUp: what a known device is called and whose it is must be looked up, with named.
	looksUp bool
	named   func(func(views.Devices)) error
}

// productSeats are the seats of a product and of its devices.
type productSeats struct {
	all     []*seat
	devices map[string]*deviceSeats
}

// deviceSeats are the seats of one device.
type deviceSeats struct {
	product uint32
	seats   []*seat
	ordinal uint64
	isKnown bool
}

// newAudience makes an audience; mu of the seats' followers is held.
func newAudience(reader *followReader, list []*seat) *audience {
	a := &audience{reader: reader, products: map[uint32]*productSeats{}, ordinals: map[uint64]*deviceSeats{}}
	for _, s := range list {
		a.named = s.f.o.Named
		p := a.products[s.f.product]
		if p == nil {
			p = &productSeats{devices: map[string]*deviceSeats{}}
			a.products[s.f.product] = p
		}
		if s.f.device == nil {
			p.all = append(p.all, s)
			a.looksUp = true
			continue
		}
		d := p.devices[string(s.f.device)]
		if d == nil {
			d = &deviceSeats{product: s.f.product}
			p.devices[string(s.f.device)] = d
		}
		d.seats = append(d.seats, s)
		if s.isKnown && !d.isKnown {
			d.ordinal, d.isKnown = s.ordinal, true
			a.ordinals[d.ordinal] = d
		}
	}
	for _, p := range a.products {
		for _, d := range p.devices {
			a.looksUp = a.looksUp || !d.isKnown
		}
	}
	return a
}
