package main

import (
	"time"

	"github.com/meterd/meterd/event"
)

// Every bound of the gateway, each with the reason for its size.
const (
	// connectionsMax bounds sockets and goroutines: about 25 KiB each, 2.5 GB together.
	connectionsMax = 100_000
	// connectTimeout is how long a connection may take to say CONNECT before it is closed.
	connectTimeout = 10 * time.Second
	// writeTimeout is how long a subscriber that does not read can hold up those who publish to it, once.
	writeTimeout = 2 * time.Second
	// writesPendingMax is how many deliveries wait for one subscriber; the broker allocates it whole for each connection.
	writesPendingMax = 512
	// inflightMax is how many QoS 1 and 2 messages a session keeps, also while its device is away.
	inflightMax = 1024
	// sessionExpiryMax is how long the session of an absent device is kept.
	sessionExpiryMax = 7 * 24 * 3600 // seconds
	// receiveMax is how many QoS 1 and 2 messages a device may have unacknowledged on one connection (Receive Maximum).
	receiveMax = 1024
	// exchangesMax is how many QoS 2 messages of a session may be received and not released: those of one connection, and
	// as many again of the one before it, about 100 bytes each.
	exchangesMax = 2 * receiveMax
	// packetBytesMax leaves room for topic and properties beside the largest payload that meterd takes. A longer PUBLISH
	// is refused without holding it in memory.
	packetBytesMax = event.PayloadBytesMax + publishHeadBytesMax
	// publishHeadBytesMax is the room for a PUBLISH's topic, at most 64 KiB, packet id and properties.
	publishHeadBytesMax = 128 << 10
	// discardBytes is how much of a PUBLISH that is too long is passed over at once: a second's worth for a slow modem.
	discardBytes = 16 << 10
	// readBufferBytes is for the packets that devices send mostly, a few hundred bytes; longer ones are read directly.
	readBufferBytes = 2048
	// brokerReadBufferBytes is the least that the broker can have for its own buffer, which would hold the same again.
	brokerReadBufferBytes = 16
	// denialKeptFor is how long a shared subscription passes over a member whose delivery was denied.
	denialKeptFor = time.Minute
	// askTimeoutClosed and askTimeoutOpen bound the wait of a device for a meterd that does not answer. Failing closed,
	// what is refused is lost unless its device repeats it, so the wait is longer than a restart of meterd: 10 s with ten
	// million devices, and up to 2 s until it is noticed. Failing open, what passes is reported later, as exactly, and
	// no device needs to wait; so it is with last-known. askTimeoutNodes is longer than it takes a cluster to find another
	// owner for a cell, 15 s.
	askTimeoutClosed = 15 * time.Second
	askTimeoutNodes  = 25 * time.Second
	askTimeoutOpen   = 3 * time.Second
	// spoolBytes is an outage of a quarter of an hour at 1000 events a second, of devices that send one by one.
	// spoolBytesMin has room for the disconnects of connectionsMax devices, which are kept under any policy.
	spoolBytes    = 64 << 20
	spoolBytesMin = 16 << 20
	// askTimeoutMax is longer than any device waits: a usual keep-alive is a minute.
	askTimeoutMax = 10 * time.Minute
	// offlinePauseMin and offlinePauseMax bound the pause between two tries of the call at the start.
	offlinePauseMin = 100 * time.Millisecond
	offlinePauseMax = 5 * time.Second
	// stopTimeout bounds, after SIGTERM, the wait for what devices have asked, and then the flush.
	stopTimeout = 10 * time.Second
	// lastWriteTimeout is how long one client that does not read may delay a stop.
	lastWriteTimeout = 500 * time.Millisecond
	// deviceShards spreads the lock of the table of devices.
	deviceShards = 64
)
