// Package rawlog is the raw log of devices (R18): the view of the commit log that archives events by device, and the
// reading of one device's events, wherever they are.
//
//	commit log ──Follow──► rows ──► archive.Store: memory, about an hour ──WriteRun──► runs, spans      position moves
//	     │                              │                                                │
//	     │ groups that are not gathered │ rows in memory                                 │ rows in directories
//	     └───────────── tail ───────────┴── Snapshot.Each, of a device; ProductReader ────┘
//	                      └──────────────────► DeviceLog, ProductLog: in the order of places
//
// A log is followed in three ways. What is there is searched, oldest first. What comes is read by one reader for all
// followers, which decodes each group once. A follower that does not take it in time reads the log by itself, from the
// last group on that it has, until it is at the end again:
//
//	DeviceLog, ProductLog ──► rows up to now ────────────► follower ──► fn, which may be slow
//	     ▲ the group is gone                                ▲    ▲ take
//	commit log ──► logPage: a bounded part at once ─────────┘    │
//	     └─20 ms─► followReader ──► rows of a group ──► seat: a bounded queue
//
// The view of a standby takes over the archive of its owner and writes none, unless the log waits too long for it
// (adopt.go).
//
// Topics and payloads that are erased are hidden from the change on, wherever a row lies: of one device here, of a
// product by whoever names the devices (shard/query).
//
// Invariants:
//
//   - The view reads the log's files itself, up to the last durable group. Ingest hands nothing over and waits for
//     nothing.
//   - Each group is in exactly one of the three places: directories have those up to the position, memory those up to
//     Gathered, the log the rest. A Snapshot says where they meet, so no event is read twice or left out.
//   - A segment of the log goes only once its groups are behind the position. A reader that finds a group of the tail
//     gone takes another Snapshot, and goes on behind the last row that it gave.
//   - A row carries the log days of the plan that its event was decided under: those that the log's own records of
//     administration say, not those of the catalogue as it is now.
//   - Reading copies a bounded block and lets go. What is slow to take rows holds nothing of log and archive; who reads
//     all of a product holds what was sorted for it, and few can at once.
//   - A follower takes its seat, and only then searches for the last time: whatever the seat lacks was durable before.
//     What comes both ways is given once, since places tell. So neither runs that are written nor segments that go nor
//     a new start of the daemon matter to it.
//   - The reader of the followers waits for none of them: whose seat is full loses it. It runs only while somebody
//     follows, and keeps to a part of the machine as the view does.
//   - A directory that cannot be read or merged fails the view, loudly. New events are archived nevertheless, since
//     that frees the log's segments.
package rawlog
