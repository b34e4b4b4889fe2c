package powercut

import "time"

const (
	// pageBytes is the unit of what is held back: a page of the kernel's cache, so that a mapped page fits one exactly.
	pageBytes = 4096
	// sectorBytes is the unit in which a disk writes: early write-back tears pages along it.
	sectorBytes = 512
	// tornOneIn is how often a page that survives a cut by chance is torn, 1 in it: often enough for every test of some
	// cuts.
	tornOneIn = 8
	// dirtyBytesDefault and dirtyBytesMax bound the memory of pages not synced. A full store answers ENOSPC instead of
	// writing back: what a test did not sync must not survive because the test was large.
	dirtyBytesDefault = 1 << 30
	dirtyBytesMax     = 16 << 30
	// pendingOpsMax bounds the journal; an op is about 150 bytes, so a full one is 40 MB. Beyond it: ENOSPC.
	pendingOpsMax = 1 << 18
	// entriesMax bounds the tree, which is held in memory whole.
	entriesMax = 1 << 20
	// nameBytesMax is NAME_MAX of Linux.
	nameBytesMax = 255
	// fileBytesMax bounds one file, as ext4 does with 4 KiB blocks; offsets stay far from overflow.
	fileBytesMax = 16 << 40
	// spareBytesMax bounds the pages kept for reuse after a sync.
	spareBytesMax = 16 << 20
	// runBytesMax is the largest single write to the lower file, so that a cut inside a long sync tears it.
	runBytesMax = 1 << 20
	// requestBytesMax is the largest READ and WRITE the kernel accepts.
	requestBytesMax = 1 << 20
	// recentPagesMax is how many pages early write-back chooses from: the latest written ones, as torn states live there.
	recentPagesMax = 256
	// answerBytesMax bounds a line on the control pipe; Stats is its largest.
	answerBytesMax = 64 << 10
	// complaintBytesMax is how much of the server's standard error an error message carries.
	complaintBytesMax = 8 << 10
	// cacheFor is how long the kernel may believe names and attributes: for ever, since all changes come through it.
	cacheFor = 24 * time.Hour
	// mountWithin and endWithin bound the waits for the server process, so that a test fails instead of hanging. Opening
	// reads every directory of the lower tree; ending writes back what is held (dirtyBytesDefault at 100 MB/s: 11 s).
	mountWithin = 2 * time.Minute
	endWithin   = 2 * time.Minute
)
