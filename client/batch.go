package client

// entry is one line of a batch: an event that somebody waits for, or a record that is owed.
type entry struct {
	pending *Pending
	owed    *owedDevice
	record  record
}

// batch is one request. Once cut, body is never changed: it may be sent again as it is.
type batch struct {
	body    []byte
	entries []entry // in the order of the body's lines
}

// full reports whether a line of lineBytes must go into another batch. An empty batch takes any line, so that none is
// stuck for ever.
func (b *batch) full(o *Options, lineBytes int) bool {
	return len(b.entries) > 0 && (len(b.entries) >= o.BatchEventsMax || len(b.body)+lineBytes > o.BatchBytesMax)
}

// outcome is how a batch ended: verdicts, one an entry, or the reason why there are none.
type outcome struct {
	verdicts []Verdict
	err      *UnavailableError
}
