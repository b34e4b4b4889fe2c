package counters

// checked returns v, which must be at most most: a value that leaves its field would change its neighbour.
func checked[T uint32 | uint64](v, most T) uint64 {
	if v > most {
		outOfField()
	}
	return uint64(v)
}

//go:noinline
func outOfField() { panic("BUG: counters: a value does not fit its field") }

// flag is 1 for true.
func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
