package counters

const (
	suspendedShift = 2
	holderShift    = 3
	onlineShift    = holderShift + 20
	changeShift    = onlineShift + 1
)

// SessionWord is w6: change:40 | online:1 | holder:20 | suspended:1 | 2 bits that are 0. It is a register: every change
// raises the change number, so the later state is the larger word whatever its flags say.
type SessionWord uint64

// NewSessionWord packs a word; it panics on a value that its field does not hold.
func NewSessionWord(change uint64, online bool, holder uint32, suspended bool) SessionWord {
	return SessionWord(checked(change, ChangeMax)<<changeShift | flag(online)<<onlineShift |
		checked(holder, HolderMax)<<holderShift | flag(suspended)<<suspendedShift)
}

// Change returns how often the session has changed.
func (w SessionWord) Change() uint64 { return uint64(w >> changeShift) }

// Online reports whether the device is connected.
func (w SessionWord) Online() bool { return w>>onlineShift&1 != 0 }

// Holder returns the number of the producer of the last accepted connect, 0 if it named none. It outlives the
// connection.
func (w SessionWord) Holder() uint32 { return uint32(w>>holderShift) & HolderMax }

// Suspended reports whether the device itself is suspended (R20).
func (w SessionWord) Suspended() bool { return w>>suspendedShift&1 != 0 }

// WithOnline returns w with another flag and the same change number.
func (w SessionWord) WithOnline(online bool) SessionWord {
	return NewSessionWord(w.Change(), online, w.Holder(), w.Suspended())
}

// WithHolder returns w with another holder and the same change number.
func (w SessionWord) WithHolder(holder uint32) SessionWord {
	return NewSessionWord(w.Change(), w.Online(), holder, w.Suspended())
}

// WithSuspended returns w with another flag and the same change number.
func (w SessionWord) WithSuspended(suspended bool) SessionWord {
	return NewSessionWord(w.Change(), w.Online(), w.Holder(), suspended)
}

// WithChange returns w with another change number.
func (w SessionWord) WithChange(change uint64) SessionWord {
	return NewSessionWord(change, w.Online(), w.Holder(), w.Suspended())
}

// next returns the register that w becomes by taking over the flags of want: one change later, or w itself if nothing
// differs or its changes are used up.
func (w SessionWord) next(want SessionWord) SessionWord {
	if want == w || w.Change() == ChangeMax {
		return w
	}
	return want.WithChange(w.Change() + 1)
}

// SeenWord is w7: last seen s:33 | arena:31. The place in the arena never changes, so the larger word is the later one.
type SeenWord uint64

const arenaMask = 1<<arenaBits - 1

// NewSeenWord packs a word; it panics on a value that its field does not hold.
func NewSeenWord(sec uint64, arena uint32) SeenWord {
	return SeenWord(checked(sec, SecondMax)<<arenaBits | checked(arena, arenaMask))
}

// LastSeen returns when the device was last heard of, in seconds since 2020-01-01 UTC; 0 is never.
func (w SeenWord) LastSeen() uint64 { return uint64(w >> arenaBits) }

// Arena returns the place of the device's name in its shard's arena, in units of 8 bytes.
func (w SeenWord) Arena() uint32 { return uint32(w) & arenaMask }

// WithLastSeen returns w with another time.
func (w SeenWord) WithLastSeen(sec uint64) SeenWord { return NewSeenWord(sec, w.Arena()) }
