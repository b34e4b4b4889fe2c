package counters

// Key returns what the slot is found by.
func (s *Slot) Key() Key { return Key{Hi: s.w[0].Load(), Lo: s.w[1].Load()} }

// Product returns the product's number.
func (s *Slot) Product() uint32 { return s.Key().Product() }

// Ordinal returns the device's name in records.
func (s *Slot) Ordinal() Ordinal { return newOrdinal(s.Key().Shard(), s.Seen().Arena()) }

// Message returns w2.
func (s *Slot) Message() MessageWord { return MessageWord(s.w[2].Load()) }

// Denied returns w3.
func (s *Slot) Denied() DeniedWord { return DeniedWord(s.w[3].Load()) }

// OTA returns w4.
func (s *Slot) OTA() OTAWord { return OTAWord(s.w[4].Load()) }

// License returns w5.
func (s *Slot) License() LicenseWord { return LicenseWord(s.w[5].Load()) }

// Session returns w6.
func (s *Slot) Session() SessionWord { return SessionWord(s.w[6].Load()) }

// Seen returns w7.
func (s *Slot) Seen() SeenWord { return SeenWord(s.w[7].Load()) }

// StoreOTA replaces w4; the caller holds the account's lock.
func (s *Slot) StoreOTA(w OTAWord) { s.w[4].Store(uint64(w)) }

// StoreLicense replaces w5; the caller holds the account's lock.
func (s *Slot) StoreLicense(w LicenseWord) { s.w[5].Store(uint64(w)) }

// Join makes a word the newer of itself and v: how recovery puts a record's words in (2 to 7). Joining is commutative,
// associative and idempotent. Of w7 only the time is joined: the place in the arena is this slot's own. For w5 see
// JoinLicense.
func (s *Slot) Join(word int, v uint64) {
	switch {
	case word == 7:
		s.Touch(SeenWord(v).LastSeen())
		return
	case word < 2 || word > 7:
		panic("BUG: counters: join of a word that is no state")
	}
	for {
		old := s.w[word].Load()
		if v <= old || s.w[word].CompareAndSwap(old, v) {
			return
		}
	}
}
