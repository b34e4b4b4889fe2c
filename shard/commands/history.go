package commands

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"github.com/meterd/meterd/shard/record"
)

// history is which start of the daemon gave which numbers. Every start draws a tag, and a place names the tag that was
// in force. Two copies of one data directory go on under different tags: so a place that one of them named is honoured
// by the other only up to where they parted.
//
//	run       1 (tag a)             2 (tag b)        3 (tag c)
//	numbers   1 ─────────── 140     141 ─── 200      201 ───►      here
//	                        └────── 141 ─── 190                    the copy, whose second start drew tag d
//	a place of tag a is good up to 140, one of tag b up to 200, one of tag d not at all
//
// A lower bound is not needed: what came before a run is the same wherever the run is known.
type history struct {
	runs     []record.Run // those that were recorded, by number; the last runsMax
	current  record.Run   // the daemon's own; in runs once it was recorded
	previous uint32       // the tag of the newest run that was recorded before it; its own if there is none
}

// join adds a run that was recorded. Of two with one number, of which one was in a group that nobody was answered for,
// the larger tag counts, in whatever order they are read.
func (h *history) join(r record.Run) {
	i, found := slices.BinarySearchFunc(h.runs, r.Number, func(a record.Run, n uint64) int {
		return cmp.Compare(a.Number, n)
	})
	switch {
	case !found:
		h.runs = slices.Insert(h.runs, i, r)
		if len(h.runs) > runsMax {
			h.runs = slices.Delete(h.runs, 0, 1)
		}
	case r.Tag > h.runs[i].Tag:
		h.runs[i] = r
	}
}

// begin draws a tag for this start of the daemon, which gives the numbers from those on.
func (h *history) begin(firstCommand, firstChange uint64) {
	h.current = record.Run{Number: 1, FirstCommand: firstCommand, FirstChange: firstChange}
	known := func(tag uint32) bool {
		return slices.ContainsFunc(h.runs, func(r record.Run) bool { return r.Tag == tag })
	}
	var b [4]byte
	for h.current.Tag == 0 || known(h.current.Tag) {
		_, _ = rand.Read(b[:]) // It never fails.
		h.current.Tag = binary.LittleEndian.Uint32(b[:])
	}
	h.previous = h.current.Tag
	if n := len(h.runs); n > 0 {
		h.current.Number, h.previous = h.runs[n-1].Number+1, h.runs[n-1].Tag
	}
}

// tag returns the tag for a place that was named when these were the last durable numbers. The own tag is durable with
// the first number of the run; until then the last start's goes, since no number is younger than it.
func (h *history) tag(lastCommand, lastRefresh uint64) uint32 {
	if lastCommand >= h.current.FirstCommand || lastRefresh >= h.current.FirstChange {
		return h.current.Tag
	}
	return h.previous
}

// knows reports whether a place was named in this history, when these are the last durable numbers.
func (h *history) knows(p Place, lastCommand, lastRefresh uint64) bool {
	i := slices.IndexFunc(h.runs, func(r record.Run) bool { return r.Tag == p.Tag })
	switch {
	case i < 0 && p.Tag != h.current.Tag:
		return false
	case i >= 0 && i+1 < len(h.runs):
		lastCommand = min(lastCommand, h.runs[i+1].FirstCommand-1)
		lastRefresh = min(lastRefresh, h.runs[i+1].FirstChange-1)
	}
	return p.Command <= lastCommand && p.Refresh <= lastRefresh
}
