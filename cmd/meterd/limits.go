package main

import "time"

// Every bound of the command, each with the reason for its size; those of flags stand beside their flags.
const (
	// A node asks so often, and so long apart, whether another one brings data before it makes a cluster of nothing: nodes
	// that are started at the same time hear each other within a second or two.
	bringAsks  = 10
	bringEvery = 300 * time.Millisecond
	// donorWithin is how long a copy that is lost waits for somebody to own the cell before it tries again later: an owner
	// that died is followed by another one within 15 s.
	donorWithin = 30 * time.Second
	// reseedSilence is how long the owner of a cell may send nothing of a copy: it waits for a snapshot that is sealed.
	reseedSilence = 2 * time.Minute
	// scrubBytesPerSecond is what a process reads at most to prove what lies on its disk: a hundredth of one processor,
	// and 690 GB a day. scrubFirst is how long it waits after its start.
	scrubBytesPerSecond = 8 << 20
	scrubFirst          = 5 * time.Minute
	// damagesMax is how many damaged files and directories are known and logged: the disk is bad long before. damagesShown
	// is how many of them /readyz?verbose names, a line each.
	damagesMax   = 100
	damagesShown = 5
	// completeWithin is how long a shell waits for names; without an answer nothing is offered.
	completeWithin = 500 * time.Millisecond
	// daysMax is the longest validity that there is, 100 years.
	daysMax = 36525
	// pageMax is the most that limit may be in a request.
	pageMax = 1000
	// productLogTimeout is how long the log of a product may be silent, unless --timeout says otherwise: it is sorted a
	// day at a time, a hundred million rows in two minutes.
	productLogTimeout = 10 * time.Minute
	// createSnapshotTimeout is how long `ctl snapshots create` waits unless --timeout says otherwise: ten million devices
	// take half a minute, and another snapshot may be made first.
	createSnapshotTimeout = 10 * time.Minute
	// repairTimeout is how long `ctl cluster repair` and `forget` wait unless --timeout says otherwise: a copy of 50
	// GB is read, replicas are copied.
	repairTimeout = 3 * time.Minute
	// rowsAFlush is how many rows of a table are held to make their columns even: a list of millions is neither kept nor
	// kept back.
	rowsAFlush = 1000
	// followedCells is the least width of a column in a table that is followed, whose rows cannot wait for each other.
	followedCells = 12
	// cellRunesMax bounds what is shown of a text in a row. A record shows the whole.
	cellRunesMax = 64
	// childLinesMax bounds what is logged of one child's words: a panic has some hundred lines.
	childLinesMax = 200
	// historyFreeBytes is what the children of the history leave free on the disk: more than what events stop at.
	historyFreeBytes = 2 << 30
	// guardEvery is how often the free space is looked at: less than a second of commit log fits what is kept free.
	guardEvery = 500 * time.Millisecond
	// meterEvery is how often it is measured what the data directory takes: some thousand files, 10 ms.
	meterEvery = time.Minute
	// finishWithin bounds how long requests in hand may take to finish when the daemon stops.
	finishWithin = 10 * time.Second
	// restWithin is the same when a cell goes to another node, which waits for it: whoever is cut off sends again there.
	restWithin = 300 * time.Millisecond
	// proveEvery is how often the owner of a cell appends at least: others try to take over after five times as long.
	proveEvery = time.Second
	// standEvery is the pause before a cluster that does not stand yet is asked again. askWithin is how long a question
	// to it may take, makeWithin how long making a stream may: of several nodes that make it at once, one may hear
	// nothing of it.
	standEvery = time.Second
	askWithin  = time.Second
	makeWithin = 4 * time.Second
	// partsMax is how many parts of snapshots an owner sends at a time: one, and one that nobody reads any more.
	partsMax = 2
	// partWaits is how long a part may wait for the parts before it: ten million devices take half a minute.
	partWaits = 15 * time.Minute
	// partAskedBytesMax bounds the question for a part: a number.
	partAskedBytesMax = 1 << 10
	// peerSilence is how long another node may send nothing of a file, and how long it is waited for when it reads: it
	// does nothing but read a file.
	peerSilence = 15 * time.Second
	// sealedSendsMax is how many files of sealed snapshots a node sends at a time, of 256 KiB of memory each: two nodes
	// copy one of each of a few cells.
	sealedSendsMax = 16
	// archiveSendsMax is how many manifests and directories of archives a node sends at a time: each other node copies one
	// directory, and asks for some manifests.
	archiveSendsMax = 32
	// copyBytesPerSecond is what a node copies at most of archives that other nodes have written: a quarter of a link of
	// 1 Gbit/s, for the stream needs the rest. It is 3 million events a second, each of them in a run and in a span.
	copyBytesPerSecond = 32 << 20
	// copyBytesPerSecondMin is what another node sends at least of a directory, beside peerSilence; else the copy is given
	// up, and tried again later. A standby that gets less archives by itself soon. So a directory of 10 GiB takes three
	// hours at most.
	copyBytesPerSecondMin = 1 << 20
	// copyTurn is how long the copy of a directory keeps those of other cells from beginning: 2 GiB at full speed.
	copyTurn = time.Minute
	// streamAskMax is how long the leader of a stream is waited for before the stream counts as one without: it answers in
	// milliseconds, and all cells are asked within the time of one look.
	streamAskMax = 3 * time.Second
	// portMax is the last port of TCP.
	portMax = 65535
	// archiveManifestBytesMax bounds a manifest that another node sends, as the archive does.
	archiveManifestBytesMax = 16 << 20
	// spreadMin and spreadAByte bound how long a snapshot that is sealed waits until the standbys have it, 10 MB/s and
	// half a minute for a standby that has others to copy before: ten million devices are 4.7 GB.
	spreadMin   = 30 * time.Second
	spreadAByte = 100 * time.Nanosecond
	// tellEvery is how often a node says how its cells stand.
	tellEvery = time.Second
	// cellSegmentBytes and cellBallastBytes are of the cells of a node that has several: idle, one keeps some 40 MiB.
	cellSegmentBytes = 16 << 20
	cellBallastBytes = 16 << 20
	// replicaLagMax is how many messages a replica may lack and counts as there: they are on their way to it. An owner has
	// one in flight, and a replica that is slower than the two others has some more.
	replicaLagMax = 100
)
