package commands

import "time"

const (
	// keptMax bounds the disconnects that are kept, of all accounts together: 120 bytes each.
	keptMax = 1 << 20
	// keptFor is how long a disconnect waits for its device to connect (R3).
	keptFor = 24 * time.Hour
	// blockEntries bounds a block of a list: inserting into one or removing from it moves at most 2 KiB.
	blockEntries = 256
	// pageMax bounds what a listener is handed at once.
	pageMax = 500
	// holdSteps is how many entries are looked at before the lock and the gate are let go: looking up a session takes up
	// to 0.2 µs, so a seal or a decision waits for some 15 µs.
	holdSteps = 64
	// tidyHolds is how many holds a call of Tidy looks: at five calls a second all that can be kept is looked at in four
	// minutes, for less than a thousandth of a processor.
	tidyHolds = 16
	// addSteps is how many entries each new one pays for to be tidied: what is stale goes faster than entries come.
	addSteps = 2
	// refreshesMax is how many refreshes are in memory; older ones are found in the audit log.
	refreshesMax = 4096
	// auditStepsMax is how many entries of the audit log one page reads: some 50 ms.
	auditStepsMax = 50_000
	// runsMax is how many starts of the daemon are remembered: an id of an older one counts as none.
	runsMax = 1024
	// sectionBytes is the size of a piece of a checkpoint's section: what is copied under the lock is gathered there.
	sectionBytes = 64 << 10
)
