package board

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// tellEvery is how often a node tells how it is: a few kilobytes for each node, and a fifth of silentAfter.
	tellEvery = time.Second
	// silentAfter is how long a node may tell nothing before it counts as silent: as long as a stream may.
	silentAfter = 5 * time.Second
	// owedMax bounds the webhooks of a cell that are told of by themselves, 45 bytes each: package webhook tells of 8.
	owedMax = 16
	// messageBytesMax bounds what one node tells: cellsMax cells take some 400 bytes each, 1600 with a sentence and
	// owedMax.
	messageBytesMax = 128 << 10
	// cellsMax bounds the cells of a cluster, as cluster/jetlog does.
	cellsMax = 64
	// nodesMax bounds the nodes that are remembered, so that names made up by mistake do not fill memory and disk.
	nodesMax = 64
	// serversMax bounds the servers that are remembered, and those that were forgotten: a disk that is replaced is another
	// server. The oldest go first, those that are still to be removed last. Both lists fit into a message.
	serversMax = 2 * nodesMax
	// wordBytesMax bounds a node's name, its version and other words of it.
	wordBytesMax = 64
	// textBytesMax bounds addresses and sentences.
	textBytesMax = 512
	// writeEvery is how often positions are written if they have changed. They are the second line of defence, behind a
	// majority of synced Raft logs; a sync each second would take as much from the disk as a small load does.
	writeEvery = 5 * time.Second
	// fileBytesMax bounds the file of positions: nodesMax nodes with cellsMax cells have 1 MB.
	fileBytesMax = 4 << 20
	// clockSamples is how many seconds of a node's clock are looked at. The one that came fastest is nearest.
	clockSamples = 16
	// recallWait is how long the others are waited for when they are asked what they remember. Whoever is alive tells
	// something within a second, and is asked again then.
	recallWait = 2 * time.Second
	// askAgain is how often servers that are not connected yet are asked.
	askAgain = 100 * time.Millisecond
)

// Bounds of a node's clock.
const (
	// ClockNear is the difference beyond which a node leaves a cell to others whose clocks are better.
	ClockNear = 2 * time.Second
	// ClockFar is the difference beyond which a node owns nothing unless its clock is confirmed: R12 has the same.
	ClockFar = time.Hour
)
