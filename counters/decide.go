package counters

// The hot path: a message is decided, counted and yields its record by one compare-and-swap. Budget: 20 ns beside the
// cache miss, nothing allocated, no lock.

// MessageOutcome is what became of a message.
type MessageOutcome struct {
	// After is the word after the message. Of a refused message it is what the quota was compared with, not a state of the
	// slot, and belongs in no record: it may be the empty word of a day that has not begun for this device.
	After MessageWord
	// Closed is the older day's word that After replaced, for the ledger; 0 if there was none or it counted nothing.
	Closed MessageWord
	OK     bool
}

// CountMessage counts a message of so many units, unless up and down together would exceed limit (R10): then it is
// refused whole and nothing changes (R11, R13). day is the day of the decided time; if the word is of a later day
// already, that day goes on (R12). A limit above MessagesPerDayMax, "no limit", means MessagesPerDayMax. It panics on a
// day over DayMax.
func (s *Slot) CountMessage(day uint32, up bool, units, limit uint32) MessageOutcome {
	room := uint64(min(limit, MessagesPerDayMax))
	add := uint64(units) << (flag(up) * unitsBits)
	for {
		old := s.Message()
		cur := old.At(day)
		if uint64(cur.Used())+uint64(units) > room {
			return MessageOutcome{After: cur}
		}
		after := cur + MessageWord(add) // Up and down stay under 2^24, see MessagesPerDayMax.
		if !s.w[2].CompareAndSwap(uint64(old), uint64(after)) {
			continue
		}
		out := MessageOutcome{After: after, OK: true}
		if cur != old && old.Used() != 0 {
			out.Closed = old
		}
		return out
	}
}

// CountDenied counts units that the quota denied (R11); the count saturates at DeniedMax, so it may have grown by less.
// closed is the older day's word that after replaced, 0 if there was none or it counted nothing.
func (s *Slot) CountDenied(day, units uint32) (after, closed DeniedWord, grown uint64) {
	for {
		old := s.Denied()
		cur := old.At(day)
		after = cur.WithDenied(min(cur.Denied()+uint64(units), DeniedMax))
		if !s.w[3].CompareAndSwap(uint64(old), uint64(after)) {
			continue
		}
		if cur != old && old.Denied() != 0 {
			closed = old
		}
		return after, closed, after.Denied() - cur.Denied()
	}
}

// Touch notes that the device was heard of at sec, seconds since 2020-01-01 UTC; an earlier time than the one noted
// changes nothing.
func (s *Slot) Touch(sec uint64) {
	for {
		old := s.Seen()
		if sec <= old.LastSeen() || s.w[7].CompareAndSwap(uint64(old), uint64(old.WithLastSeen(sec))) {
			return
		}
	}
}
