// Package archive keeps the events of the commit log by device (R18): a device's week is read in some thirty reads of
// the disk, where the log would have to be read whole. It is a view of the log: its position says which groups it has
// durably, and only then may their segments go. It imports nothing above retention; shard/rawlog feeds it.
//
//	Group, Add …, End ──► memory: batches of 128 K rows, ordered by device and packed ◄─┐
//	                        │ an hour, or 48 MiB                                        │
//	                    WriteRun ─► run-7     all products, all devices of its groups ◄─┤ Snapshot.Each:
//	                                 │ a span (a seventh of the retention) is over      │ rows of one device,
//	                               Tidy ─► span-9   one span and value of log days    ◄─┘ either direction
//	                                 │ all of its rows are over
//	                                 └──► removed whole
//
//	directory  one Badger directory, written once, in the order of its keys:
//	           E device, place of the first row ─► block of rows: ≤ 32 KiB of neighbouring devices, columns, zstd
//	           N the same                       ─► the newest rows of a product with many, once more
//	           P the same                       ─► the payloads of a block of E, so that rows are read without them
//
// # Rows of a product
//
// Rows of one group and millisecond are in device order, those of unknown devices first: a device is known from some
// row on, for ever, so each device's rows come as in its own log. In which order several devices sent them is not kept.
// A directory is ordered by device, so the rows of a product must be sorted by time (ProductReader):
//
//	memory       a batch at a time: its groups follow those of the batch before
//	directories  one at a time, but for those of one span and several log days
//	   newest first ─► N: what the product did last, in a few reads
//	   a page       ─► one scan of the product's blocks, which keeps the rows that come first
//	   all rows     ─► one scan, sorted in memory; what does not fit goes to a file in sorted pieces, which are merged
//
// # How a directory is made
//
// Badger loads it under NAME.tmp; it is synced, dropped from the page cache, read back by Badger and compared, renamed,
// its name synced; then the manifest that names it replaces the one before. From then on nobody opens it with Badger:
// queries and merges read its tables themselves (tables.go). What no manifest names is removed by the next start: so a
// crash at any step leaves what was there before, and the same groups come again from the log. Directories that were
// merged or are over leave the manifest first, then the disk. Beside its tables a directory takes 45 KB to write,
// whatever is in it (TestProductWeek).
//
// # A copy of another archive
//
// An archive of the same log on another node can be taken over: directories never change, and each has a sum, by which
// it is known and proved.
//
//	Source.Manifest ─► which directories are not here? ─► Source.Directory ─► NAME.tmp: synced, read back, its sum
//	                                                          compared ─► NAME
//	Adopt: one manifest with the other's position and directories, those that were here under their numbers here;
//	what it does not name leaves the disk, and so does what was copied and is not adopted after all
//
// All of it is taken over or nothing. So it does not matter which borders the directories had that were here before,
// and no row is there twice. Nothing is taken over that is behind, of another history (the log's chain tells), without
// sums, kept for another time, without events that are here, or with what must be off the disk by now.
//
// An archive that follows another one (SetFollows) removes by itself what is over. It merges and rewrites later: only
// what the other one has not done.
//
// # What goes bad
//
// Each block is proved by its checksum whenever it is read, and all of them by Prove, slowly. Whoever reads gets an
// error that names the directory, and Options.Damaged is told: on a node alone that is all, of a cell's copy another
// one is made.
//
// # What it costs
//
// Under load nearly all rows are bare: accepted messages of known devices that have nothing but numbers. They go from
// the log into memory, into blocks, and out of them column by column (bare.go, unpack.go); any other row goes by
// itself, as a Row. Batches become a run, and runs a span, in the same way (sidebyside.go): a block or two of each are
// rows in memory, and all rows of the devices that are there in full are sorted together, as those of a batch are. Of a
// message a run costs some 0.25 µs of processor time on a busy machine and its merge 0.15: compressing a tenth of that
// each time, packing and unpacking rows most of the rest.
//
// # Places
//
// A row's Place is its decided time and a tie: how many groups lie between the first group of that millisecond and its
// own, and its order among the device's rows there. It depends on the log alone, so it stays the same when the row
// moves from the log to memory, to a run, to a span. The number of the group itself would cost a byte an event: within
// a device, groups and times are two clocks that run beside each other, and no compression sees that.
//
// # What is erased
//
// Whoever reads hides topics and payloads that are erased. They leave the disk in directories that are made anew: runs
// and merges are written without them as it is, others are rewritten once erasures have gathered for almost a day. A
// directory says up to which erasure it is done, so a crash at any step leaves nothing behind.
//
// Invariants:
//
//   - Every row of the groups up to the position is in exactly one directory. No row of a later group is in any.
//   - A row carries the log days that its event was decided under. Whether it can be read is decided by the row, to the
//     millisecond, by the time that meterd decides by. An entry's expiry is by Badger's clock, the wall's, and lies two
//     spans later; readers do not look at it. Times rise from group to group, not within one: of two messages of a
//     device in one group the one that was counted later may have the earlier time, and be over first.
//   - The rows of a device in an older run come before those in a newer one: runs hold whole groups.
//   - A directory is open for reading while somebody looks into it; of others a bounded number. A look copies a block
//     and lets go. Removal waits for looks, never for a client, and no look begins on what is being removed.
//   - Memory is bounded: rows that wait, one table in the making a writer, indexes of open directories.
//   - Queries and merges read the bytes of the blocks that they need. They fault no pages in: that would read megabytes
//     around each block, and hold a processor of the runtime's meanwhile. Queries of a device announce the blocks of
//     several directories at once.
//   - Long work stops every few hundred microseconds, so that whoever decides events need not wait for it.
//   - Without room on the disk nothing is written, since Badger maps the files that it writes.
//
// FORMAT.md draws every byte.
package archive
