package counters

// LicenseState is where a device's current licence stands. Within a generation it only rises.
type LicenseState uint8

// The states. The value 3 is free.
const (
	LicenseNone   LicenseState = 0 // it never had one
	LicenseActive LicenseState = 1
	LicenseEnded  LicenseState = 2 // R3: reset to unactivated
)

const (
	expiryBits       = 33
	validityShift    = expiryBits
	licenseShift     = validityShift + 10
	generationShift  = licenseShift + 2
	licenseStateMask = 1<<2 - 1
)

// LicenseWord is w5: generation:19 | state:2 | validity version:10 | expiry s:33. The generation counts the licences
// that the device consumed; the validity version says after which of the product's plan changes the expiry was computed
// (R9).
type LicenseWord uint64

// NewLicenseWord packs a word; it panics on a value that its field does not hold.
func NewLicenseWord(generation uint32, state LicenseState, version uint32, expiry uint64) LicenseWord {
	return LicenseWord(checked(generation, GenerationMax)<<generationShift |
		checked(uint32(state), licenseStateMask)<<licenseShift |
		checked(version, ValidityVersionMax)<<validityShift | checked(expiry, SecondMax))
}

// Generation returns how many licences the device has consumed.
func (w LicenseWord) Generation() uint32 { return uint32(w >> generationShift) }

// State returns where the licence stands; an active one whose Expiry has passed has ended all the same.
func (w LicenseWord) State() LicenseState { return LicenseState(w>>licenseShift) & licenseStateMask }

// ValidityVersion returns the version of the product's validity that Expiry was computed with.
func (w LicenseWord) ValidityVersion() uint32 { return uint32(w>>validityShift) & ValidityVersionMax }

// Expiry returns the end of the licence in seconds since 2020-01-01 UTC.
func (w LicenseWord) Expiry() uint64 { return uint64(w) & SecondMax }

// ActiveAt reports whether the licence is active at sec.
func (w LicenseWord) ActiveAt(sec uint64) bool { return w.State() == LicenseActive && sec < w.Expiry() }

// WithGeneration returns w with another generation.
func (w LicenseWord) WithGeneration(n uint32) LicenseWord {
	return NewLicenseWord(n, w.State(), w.ValidityVersion(), w.Expiry())
}

// WithState returns w in another state.
func (w LicenseWord) WithState(s LicenseState) LicenseWord {
	return NewLicenseWord(w.Generation(), s, w.ValidityVersion(), w.Expiry())
}

// WithExpiry returns w with another end, computed with another version of the validity.
func (w LicenseWord) WithExpiry(version uint32, expiry uint64) LicenseWord {
	return NewLicenseWord(w.Generation(), w.State(), version, expiry)
}
