package counters

// SessionOutcome is what an event did to a device's session: the words before and after it, the same word if it did
// nothing. Only an After that differs belongs in a record.
type SessionOutcome struct{ Before, After SessionWord }

// Changed reports whether the session is another one now.
func (o SessionOutcome) Changed() bool { return o.Before != o.After }

// WentOnline reports whether the device was offline before and is online now.
func (o SessionOutcome) WentOnline() bool { return !o.Before.Online() && o.After.Online() }

// WentOffline reports whether the device was online before and is offline now.
func (o SessionOutcome) WentOffline() bool { return o.Before.Online() && !o.After.Online() }

// SetOnline makes the producer hold the device (R1). A connect by the producer that holds the online device already
// changes nothing. A suspended device stays as it is, After says so: suspension and connect exclude each other in one
// compare-and-swap, without a lock (R20).
func (s *Slot) SetOnline(holder uint32) SessionOutcome {
	for {
		old := s.Session()
		want := old
		if !old.Suspended() {
			want = old.WithOnline(true).WithHolder(holder)
		}
		if out, done := s.turn(old, want); done {
			return out
		}
	}
}

// SetOffline takes the device offline if holder holds it or nobody does, and with any in every case (R3). The holder
// stays noted: it is the producer of the last connect, and is told.
func (s *Slot) SetOffline(holder uint32, anyHolder bool) SessionOutcome {
	for {
		old := s.Session()
		want := old
		if h := old.Holder(); anyHolder || h == holder || h == 0 {
			want = old.WithOnline(false)
		}
		if out, done := s.turn(old, want); done {
			return out
		}
	}
}

// ClearHolder makes nobody hold the device if holder does.
func (s *Slot) ClearHolder(holder uint32) SessionOutcome {
	for {
		old := s.Session()
		want := old
		if old.Holder() == holder {
			want = old.WithHolder(0)
		}
		if out, done := s.turn(old, want); done {
			return out
		}
	}
}

// SetSuspended suspends the device, which takes it offline in the same change, or lets it go (R20).
func (s *Slot) SetSuspended(suspended bool) SessionOutcome {
	for {
		old := s.Session()
		want := old.WithSuspended(suspended)
		if suspended {
			want = want.WithOnline(false)
		}
		if out, done := s.turn(old, want); done {
			return out
		}
	}
}

// turn replaces old by what becomes of it when it takes over the flags of want; done is false if somebody else was
// faster.
func (s *Slot) turn(old, want SessionWord) (out SessionOutcome, done bool) {
	after := old.next(want)
	if after != old && !s.w[6].CompareAndSwap(uint64(old), uint64(after)) {
		return SessionOutcome{}, false
	}
	return SessionOutcome{Before: old, After: after}, true
}
