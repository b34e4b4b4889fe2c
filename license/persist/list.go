package persist

// List is a sequence that grows at its end; elements are copied in chunks.
type List[T any] struct {
	chunks []*chunk[T]
	made   uint64 // the version that may write to chunks
	n      int
}

type chunk[T any] struct {
	made     uint64 // the version that may write to it
	elements [chunkLen]T
}

// Len returns how many elements there are.
func (l *List[T]) Len() int { return l.n }

// Get returns element i, the zero value if there is none.
func (l *List[T]) Get(i uint32) (element T) {
	if at := i / chunkLen; int(at) < len(l.chunks) {
		element = l.chunks[at].elements[i%chunkLen]
	}
	return element
}

// Set gives element i of l a value, or appends it; l is version made and nobody else's yet.
func (l *List[T]) Set(made uint64, i uint32, element T) {
	if int(i) > l.n {
		panic("BUG: a list would have a gap")
	}
	if l.made != made {
		l.chunks, l.made = append([]*chunk[T](nil), l.chunks...), made
	}
	at := int(i / chunkLen)
	switch {
	case at == len(l.chunks):
		l.chunks = append(l.chunks, &chunk[T]{made: made})
	case l.chunks[at].made != made:
		copied := *l.chunks[at]
		copied.made = made
		l.chunks[at] = &copied
	}
	l.chunks[at].elements[i%chunkLen] = element
	l.n = max(l.n, int(i)+1)
}
