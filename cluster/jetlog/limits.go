package jetlog

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// MessageBytesMax bounds a message: servers take 1 MiB unless told otherwise, and a smaller one holds up a
	// connection that it shares with others for less time.
	MessageBytesMax = 512 << 10
	// payloadBytesMax is what a message holds beside its header.
	payloadBytesMax = MessageBytesMax - headerBytes
	// partsMax bounds the messages of a group: one of 128 MiB has 257.
	partsMax = 512
	// nodeBytesMax bounds the name of a node in an epoch.
	nodeBytesMax = 64

	// FillBytes is how much is sent so that what comes then is in other files of NATS: a block of a stream has 8 MiB at
	// most, one of a Raft log 4 MiB, and a Raft log is compacted at the latest when 8 MiB of it are applied: so the last
	// time at least 8 MiB behind what was there before, and not in the block of it.
	FillBytes = 17 << 20
	// fillPart is how much of it a message carries: servers take headers of 64 KiB.
	fillPart = 48 << 10

	// readBytes is what is asked of the stream at once: at 100 MB/s it takes 40 ms.
	readBytes = 4 << 20
	// readMessages bounds the messages of one read: of the smallest ones it is some 100 KB.
	readMessages = 1024

	// ackWait is how long one acknowledgement is waited for before the outcome counts as unknown. It is some thousand
	// times what a synced message takes.
	ackWait = time.Second
	// readWait is how long one read of the stream may take. Until an election both may be asked of a server that is
	// paused: two of each fit beside the silence in what an election takes.
	readWait = time.Second
	// peerSilentMax is how long a replica that takes part may not be heard by the stream's leader: it answers each second.
	peerSilentMax = 5 * time.Second
	// settleMax is how long an unknown outcome is asked about before the epoch is given up. An election of JetStream
	// takes 4 to 9 seconds, and while it lasts nobody answers.
	settleMax = 15 * time.Second
	// pauseMin and pauseMax bound the pause between two questions to a stream that does not answer.
	pauseMin = 5 * time.Millisecond
	pauseMax = 250 * time.Millisecond

	// leapMax is how far an owner's clock may run ahead of the monotonic one before it is not told any more: R12 has the
	// same.
	leapMax = time.Hour
	// seldomEvery is the least time between two lines of the log about a stream that does not answer: without a majority
	// each cell asks its own every second or two.
	seldomEvery = 10 * time.Second

	// CellsDefault is how many cells a cluster has unless it is told otherwise. CellsMax bounds them: each has an engine
	// and five logs of its own.
	CellsDefault = 12
	CellsMax     = 64
	// ReplicasMax bounds the copies that an acknowledgement waits for: with five two may die, and every node keeps a copy
	// of its own besides.
	ReplicasMax = 3

	// streamBytesDefault bounds the streams of all cells: some three minutes of 50 MB/s. Segments are the copies that
	// last. streamBytesMin is the least for one: a follower that was restarted finds some seconds of it.
	streamBytesDefault = 8 << 30
	streamBytesMin     = 512 << 20
	// duplicatesMin is the shortest window that a server accepts; nothing has an id, so it remembers nothing.
	duplicatesMin = 100 * time.Millisecond
	// streamRoom is what a message of the stream may have beside ours: the expected sequence, a header of NATS.
	streamRoom = 4 << 10
)
