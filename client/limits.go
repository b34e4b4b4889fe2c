package client

import (
	"time"

	"github.com/meterd/meterd/event"
)

// Every bound of the client, each with the reason for its size.
const (
	// lingerDefault is how long an event may wait for others to be sent with: less than a person or a modem notices.
	lingerDefault = time.Millisecond
	// batchEventsDefault keeps an answer under a few milliseconds; larger batches gain little (the server's cost a batch
	// is spread thin from about 1000 events on).
	batchEventsDefault = 4096
	// batchBytesDefault bounds one request, a sixteenth of what the server takes (event.BodyBytesMax).
	batchBytesDefault = 4 << 20
	// inFlightDefault is the number of lanes; the server lets a producer have inFlightLimit at once.
	inFlightDefault = 8
	inFlightLimit   = 64
	// queueEventsDefault bounds the events that wait for their turn: about a second's worth for one gateway.
	queueEventsDefault = 65536
	// queueBytesDefault bounds their bytes, since one payload may have 256 KiB.
	queueBytesDefault = 64 << 20
	// timeoutDefault is how long a device is kept waiting for a meterd that does not answer.
	timeoutDefault = 5 * time.Second
	// timeoutClusterDefault is the same with several addresses: 15 s until another node owns a cell whose owner died, and
	// time for what waited.
	timeoutClusterDefault = 25 * time.Second
	// nodesMax bounds the addresses of one list: the nodes of the largest cluster that anybody runs, three times.
	nodesMax = 64
	// tryMax bounds one try where there is another node to ask. An answer takes milliseconds, and some seconds when a
	// stream's leader died; who asks elsewhere too early gets the same answer.
	tryMax = 3 * time.Second
	// refusalsMax is how many batches in a row a node may refuse with 503 before its stream is left for another node's. A
	// cell without an owner is refused by every node: a lone refusal between answers is no reason to move. But a node may
	// be cut off from that owner alone: batchRefusalsMax is after how many refusals of one batch it is left all the same.
	refusalsMax      = 2
	batchRefusalsMax = 4
	// mapEvery is how often the map is read of a cluster whose owner is not asked directly, mapPause how long after a
	// failure: nodes learn from each other once a second. shunFor is how long an owner that could not be reached is not
	// tried again.
	mapEvery = 10 * time.Second
	mapPause = 2 * time.Second
	shunFor  = 30 * time.Second
	// mapBytesMax bounds a map: a thousand cells with three replicas each have 200 KiB.
	mapBytesMax = 1 << 20
	// unaskedEventsDefault bounds what passed unasked, when it is kept in memory: up to 80 bytes each, 20 MiB together.
	unaskedEventsDefault = 262_144
	// spoolBytesDefault bounds the same on disk: 64 bytes an event that comes alone, half of that with others; an outage
	// of a quarter of an hour at 1000 events a second.
	spoolBytesDefault = 64 << 20
	// knownDevicesDefault bounds the devices whose last verdicts are remembered: 50 MiB together.
	knownDevicesDefault = 262_144
	// columnsBytesMax is more than an event takes in protobuf beside its strings: a key and a length for each of those, a
	// type, a size, a time and three indexes.
	columnsBytesMax = 64
	// topicGrowth is how much longer a topic can get when its bytes that are not UTF-8 are replaced.
	topicGrowth = 3
	// answerBytesMin and answerBytesPerEvent bound an answer: a denial with all its fields takes under 300 bytes.
	answerBytesMin      = 64 << 10
	answerBytesPerEvent = 512
	// streamMessageBytesMax bounds a message of the stream: the answer to the largest batch.
	streamMessageBytesMax = answerBytesMin + answerBytesPerEvent*event.EventsMax
	// streamBufferBytes is what is read of the stream at a time.
	streamBufferBytes = 16 << 10
	// streamCommandsMax bounds the commands that are received and not carried out: eight times what meterd sends.
	streamCommandsMax = 4096
	// sequenceWindow is how many batches may follow one that is not answered. meterd remembers the last 256 sequences of a
	// producer; the rest is for copies that a network delivers late, at most one a lane.
	sequenceWindow = 256 - inFlightLimit
	// sequenceKeptFor is how long meterd remembers a sequence.
	sequenceKeptFor = 24 * time.Hour
	// sequenceGap is left free above the last known sequence for what a gateway that was killed has on its way: more than
	// a window of them, since it may have given up some. A number between 0 and sequenceSpread is added, so large that two
	// clients do not draw ranges that meet: with a million batches each the chance is 1 in 2000, and then only equal
	// bodies would be taken for one.
	sequenceGap    = 1 << 16
	sequenceSpread = 1 << 32
	// sequenceRoom is what must be left above: at 100,000 batches a second for five years.
	sequenceRoom = 1 << 44
	// triesMin is how many tries Timeout is divided by: a connection that has gone silent must not take the whole.
	triesMin = 3
	// retryAfterPart of Timeout is the longest pause that meterd can ask for, and what the last try has at least.
	retryAfterPart = 8
	// retryAfterNodesMax is the longest pause after every one of several nodes was asked: a cell without an owner has one
	// within seconds, and is not to wait for its gateways.
	retryAfterNodesMax = time.Second
	// failuresMax is from how many failures in a row on a lane asks only now and then.
	failuresMax = 2
	// retryPauseMin and retryPauseMax bound our own pause between two tries, before jitter.
	retryPauseMin = 10 * time.Millisecond
	retryPauseMax = time.Second
	// backlogMax is how many batches a lane may owe while events still wait for them: a tenth of a second's.
	backlogMax = 8
	// probeEveryMin and probeEveryMax bound the pause between two tries of a lane whose last batch failed.
	probeEveryMin = 50 * time.Millisecond
	probeEveryMax = time.Second
	// retryAfterMaxSeconds bounds how long an answer can keep this side away: after it the server is asked again, even if
	// it asked for more.
	retryAfterMaxSeconds = 3600
	// problemBytesMax bounds what is read of a refusal: one has a few hundred bytes.
	problemBytesMax = 64 << 10
	// commandLineBytesMax and commandBytesMax bound a line and the data of a command, which is three names and has under
	// 256 bytes; the longest line is that of an id. What is longer is of a kind that this version does not know, and is
	// passed over.
	commandLineBytesMax = commandIDBytesMax + 64
	commandBytesMax     = 16 << 10
	// commandIDBytesMax bounds the id that is sent back in a header; meterd's are two numbers, or three for each cell.
	commandIDBytesMax = 4 << 10
	// heartbeatTimeoutDefault is three of the heartbeats that meterd sends every 15 s: one may be late, two are not.
	heartbeatTimeoutDefault = 45 * time.Second
	// commandPauseMin and commandPauseMax bound the pause before the stream of commands is opened again. The least is
	// short because a device is to hear within a second that it is offline (R3); the most is what a daemon with 10,000
	// gateways bears.
	commandPauseMin = 50 * time.Millisecond
	commandPauseMax = 5 * time.Second
	// adminTimeoutDefault bounds one administrative call; a page of licences of a large account takes longest.
	adminTimeoutDefault = 30 * time.Second
	// adminAnswerBytesMax bounds an answer that is held whole: a page of 1000 devices has 0.6 MB.
	adminAnswerBytesMax = 64 << 20
	// eventLineBytes is what "data: " adds to a line of a log that is followed.
	eventLineBytes = 16
	// logLineBytesMax bounds a line of a device's log: a payload of 256 KiB, each byte escaped as six, and its names.
	logLineBytesMax = 2 << 20
	// pageElements is how many elements a page is asked for: the most that meterd gives.
	pageElements = 1000
)
