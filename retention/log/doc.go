// Package log is the commit log of one node: segment files, to which every acknowledged group was written and synced.
// It is the write-ahead log of state, and the source that every view follows. To it a group's content is opaque bytes.
//
//	Append(group) ─► one pwritev, one fdatasync ─► MARK (unsynced, never ahead) ─► nil
//	                      │
//	  segment-…41    segment-…42           segment-…43            segment-…44
//	 ┌─┬──┬───┬──┐  ┌─┬───┬──┬──────────┐  ┌─┬──────────────────┐  ┌─┬──────────────────┐
//	 │H│g7│g8 │g9│  │H│g10│g… ▲         │  │0│ zeroes, or what  │  │h│ an earlier use   │
//	 └─┴──┴───┴──┘  └─┴───┴───┴─────────┘  └─┴──────────────────┘  └─┴──────────────────┘
//	  closed         open                    prepared: the name is durable, the blocks were
//	    │                                    written before, the header is none of this number
//	    └─ Release: renamed to be segment-…45 (recycled), or removed
//	Replay(B+1) ◄─── every segment in order: sequence, checksums and hash chain are proved on the way
//	Prove ◄─── the same, now and then and slowly, from the disk
//	ReadBack, ReadForward ◄─── a bounded block of groups is copied, then nothing is held
//
// # Why files that were written before
//
// A sync of a file that grows, or whose blocks were only allocated, must write metadata too. So a segment's blocks are
// written before it is begun: a released segment is renamed to be a later one, and until there are any, files are
// filled with zeroes in the background, in steps short enough for the syncs of commits to get between. A file that is
// needed earlier is used as it is: allocated, or, without room or support for that, growing.
//
// A prepared file has its final name from the beginning, so a switch of segments renames nothing and syncs no
// directory, and at most two files are prepared. The first segment of a log is a sixteenth of the others, and nothing
// is prepared before half of it is used: an idle daemon keeps 4 MiB, and a busy one has files that were written before
// after the first 4 MiB. A group that is larger than a segment makes its file grow; that file is removed when it is
// released, not recycled.
//
// # How the end is found
//
// Nothing says where the log ends but the frames themselves. One group is written at a time, and its sync is waited for
// before the next one is, so whatever subset of pages a power cut leaves, only the last frame can be torn:
//
//   - Recovery first syncs the last segment and drops its cached pages: after a sync that failed, or a kill -9, the
//     page cache shows what the disk may not have. Then it reads the segment frame by frame up to the first one that is
//     not whole. It syncs again before anything is served.
//   - If a later frame begins behind that place, it is damage: that later frame was written when the earlier one was
//     durable. The search looks for the segment's salt, a random number in each of its frame headers, so neither what
//     an earlier use of the file left nor a payload can look like one. The rest of a torn group has no frame header in
//     it.
//   - If the log ends before the mark, it is damage: a group was lost that was acknowledged.
//   - Otherwise the frame was never acknowledged. Its header is overwritten, so that it never comes back, and the next
//     group is written in its place.
//
// A segment's header is written with its first frame, two copies of it in two sectors of one page. A file where neither
// copy names it was never begun, one where both are bad is refused. So a flipped byte in a header changes nothing,
// where with a single copy it would make a segment look prepared, and its groups would be gone.
//
// # Erasing
//
// A file that is used over and over holds old groups behind its end, and a prepared one holds them whole. Erase removes
// those, ends the open segment, and has released segments removed until no file holds a group of before. In normal
// operation nothing of that costs anything.
//
// Promises:
//
//   - When Append returns nil the group is on disk, and so is the name of its file. When it has failed once it fails
//     for ever: a disk that lied is not asked again.
//   - The log is contiguous: a hole, a lost tail before the mark, or a flipped byte is an error that names the file and
//     the byte. What Open refuses it leaves as it is.
//   - Nobody holds a segment between two calls. A reader never waits for the disk with a lock that Append needs, and
//     nothing is mapped, so that a full or failing disk is an error and not a signal.
//   - Release never waits for a reader, and a segment that is read is not touched.
//
// Invariants:
//
//   - Group sequences begin at 1 and have no gap; decided times never go back (R12), so groups are searched by time.
//   - Segment numbers have no gap: a name is durable before the next one is given, and is durably gone before a newer
//     one is. A segment is begun only when the one before it is complete.
//   - A frame's bytes never change once it is durable. So a reader below a segment's end needs no lock.
//   - A segment's bounds are known from its header and the next one's. The open segment is never released, so the log
//     knows where it stands (Last, ChainOf) also when no group is kept.
//   - The Chain of a group depends on the groups alone, not on segments or salts: two copies of a log can be compared.
//
// Locks, outermost first: releasing, appending, naming, mu. Only mu is taken by readers, for a few list operations.
//
// FORMAT.md draws every file.
package log
