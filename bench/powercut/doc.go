// Package powercut is a disk that forgets: a FUSE file system over a directory, for tests, whose sudden death leaves in
// that directory what a power cut would have left on a disk. kill -9 of a daemon proves nothing about its syncs, since
// the kernel still has every write; this does. Linux only; root, or fusermount3.
//
//	daemon under test ── write, mmap ──► kernel page cache ── WRITE, FSYNC, RENAME … ──► process of the file system
//	                                     (dies with the connection)                     │ pages, journal: in memory
//	                                                                                    │ (dies with the process)
//	                                                                            FSYNC ──▼
//	test ── Mount, Cut, Stats ────────────────────────────────────────────────► lower directory: what survives
//
// The file system is the test binary again, so the package's TestMain hands over first:
//
//	func TestMain(m *testing.M) {
//		if powercut.IsServer() {
//			os.Exit(powercut.Main())
//		}
//		os.Exit(m.Run())
//	}
//
//	f := powercut.MountT(t, lower, powercut.Options{})
//	// … run the daemon on f.Mountpoint(), note what it acknowledges …
//	f.Cut()                                            // while it works, or CutKeeping; then kill the daemon
//	f = powercut.MountT(t, lower, powercut.Options{})  // and start it again: all that was noted must be there
//
// # What survives
//
// The model is the least that applications are entitled to, not what one file system happens to give. With a zero Seed
// nothing survives but this:
//
//   - fsync, fdatasync and msync(MS_SYNC) of a file, and each write to one opened with O_SYNC or O_DSYNC: all its data
//     that reached the file system, its size, mode and times, and its creation with that of the directories above it.
//     The manual page of fsync does not promise the creation; ext4, XFS and btrfs do, and Badger relies on it. msync of
//     a part of a mapping keeps what was written of the whole file by then.
//   - fsync of a directory: every creation, removal and rename in it, and its own creation. Not the data of the files:
//     a file renamed into place without its own fsync is empty afterwards.
//   - What those depend on: earlier changes to the same names, and the creation of directories on the way. A rename is
//     one change, also across directories: one of the two being synced moves it whole.
//
// Not durable, though some file systems are kinder: a rename by fsync of the renamed file; anything by fsync of a
// neighbour (ext4 commits all metadata at once); anything by time passing, close, or munmap. A truncation is part of
// the file's data and waits for its fsync. sync(2) and syncfs(2) do not reach a FUSE file system and keep nothing.
//
// With a Seed the disk also writes early what nobody asked for: single sectors of 512 bytes, single changes of names
// with what they depend on. It stays within what ordering allows, so a new sector never stands among old ones that a
// truncation took away. Only what is in the file system's process can be written early: mapped pages still in the
// kernel are not.
//
// A real disk has a cache that it may have written in any order when the power goes. CutKeeping, and CutAt with
// CutSeed, cut so: an arbitrary part of the pages that were not synced survives, for each file apart, and of the
// changes of names, each with what it depends on. A file may get its size without its data. Options.CutAt cuts at a
// given change, so that a test can go through all instants of a short work.
//
// FailSync answers one sync with EIO. Afterwards the kernel shows what was written, and the disk has it, or has it in
// its cache, or has lost it: only posix_fadvise(POSIX_FADV_DONTNEED), after which reads come to this process again,
// tells.
//
// IgnoreSync answers syncs and keeps nothing: the counter-proof that a test can fail. Unmount is the orderly end, and
// writes everything.
//
// # What is not modelled
//
// A sync is not atomic: a cut inside one leaves part of it, as on a disk. But each write to the lower file is whole or
// cut at a page. Bits do not rot. fallocate sets the size and reserves nothing, or is refused (Options.NoFallocate);
// the free space is the lower directory's. sync_file_range never reaches a FUSE file system and keeps nothing. Links,
// symbolic links, extended attributes and O_TMPFILE are refused. Locks are the kernel's and end with the mount.
// Latencies are not a disk's: a sync is a copy into the lower directory's page cache, which is not synced itself, since
// only processes die here, not the machine.
//
// # Why the kernel's write-back cache is off
//
// Without it write(2) reaches this process before it returns, so early write-back can choose from everything, a full
// store is reported to the one who wrote, and one process only holds unsynced data. Mapped pages are held by the kernel
// either way until msync, munmap or the flusher: then they are in our memory, and still not in the lower directory.
// Options.WritebackCache turns it on; the same tests pass.
//
// # Invariants
//
//   - At every instant the lower directory is a state that a power cut at that instant could leave.
//   - No request hands the kernel a descriptor (no passthrough), so there is no way around this process.
//   - Memory is bounded: unsynced data by Options.DirtyBytesMax, the rest in limits.go; beyond is ENOSPC, counted in
//     Stats.Refused, never an early write.
//   - No mount outlives its test: Cut and Unmount take it away, the server does if the test process dies first, and a
//     later Mount on the same mountpoint if both were killed.
package powercut
