package claims

import "sort"

// ring keeps values by their sequences, sorted. Sequences rise, so one is added at the end and the oldest is taken from
// the front, both without moving the others; what comes out of order moves what follows it. Without pointers in T the
// garbage collector never looks.
type ring[T any] struct {
	sequences []uint64 // apart: a search reads nothing else
	values    []T
	first     int // where the lowest sequence lies
	n         int
}

// place returns where the i-th lies.
func (r *ring[T]) place(i int) int {
	if i += r.first; i >= len(r.values) {
		i -= len(r.values)
	}
	return i
}

// sequence returns the i-th.
func (r *ring[T]) sequence(i int) uint64 { return r.sequences[r.place(i)] }

// value returns the value of the i-th; the pointer holds until the ring changes.
func (r *ring[T]) value(i int) *T { return &r.values[r.place(i)] }

// search returns the index of a sequence, or the one that it would have.
func (r *ring[T]) search(sequence uint64) (i int, found bool) {
	if r.n == 0 {
		return 0, false
	}
	switch last := r.sequence(r.n - 1); { // Most requests: a new sequence, and then the same again.
	case sequence > last:
		return r.n, false
	case sequence == last:
		return r.n - 1, true
	}
	i = sort.Search(r.n, func(i int) bool { return r.sequence(i) >= sequence })
	return i, r.sequence(i) == sequence
}

// isFull reports whether the next insert must grow.
func (r *ring[T]) isFull() bool { return r.n == len(r.values) }

// insert makes v the i-th.
func (r *ring[T]) insert(i int, sequence uint64, v T) {
	if r.isFull() {
		r.grow()
	}
	for k := r.n; k > i; k-- {
		to, from := r.place(k), r.place(k-1)
		r.sequences[to], r.values[to] = r.sequences[from], r.values[from]
	}
	r.n++
	at := r.place(i)
	r.sequences[at], r.values[at] = sequence, v
}

// remove takes the i-th out.
func (r *ring[T]) remove(i int) {
	if i == 0 {
		r.first = r.place(1)
		r.n--
		return
	}
	for k := i; k < r.n-1; k++ {
		to, from := r.place(k), r.place(k+1)
		r.sequences[to], r.values[to] = r.sequences[from], r.values[from]
	}
	r.n--
}

// grow makes room by an eighth: a producer that is remembered in full must not hold twice as much.
func (r *ring[T]) grow() {
	size := r.n + r.n/8 + 8
	sequences, values := make([]uint64, size), make([]T, size)
	k := copy(sequences, r.sequences[r.first:])
	copy(sequences[k:], r.sequences[:r.first])
	copy(values, r.values[r.first:])
	copy(values[k:], r.values[:r.first])
	r.sequences, r.values, r.first = sequences, values, 0
}
