// Command mqtt-gateway is an MQTT broker whose devices are metered by meterd: the reference for writing a gateway.
//
//	CONNECT ───────► connect     denied: CONNACK 0x97 quota exceeded, 0x87 not authorized, 0x8A banned (3.1.1: 5)
//	PUBLISH in ────► up          denied: PUBACK or PUBREC 0x97; 3.1.1: acknowledged and dropped; QoS 0: dropped
//	PUBLISH out ───► down        decided in the subscriber's own goroutine, right before it is written; denied: not written
//	connection over► disconnect  when it was the device's last one
//	/v1/commands ──► disconnect: connections closed, DISCONNECT 0x97 quota exceeded, 0x87 not authorized, 0x98 administrative action
//	start ─────────► /v1/producers/{producer}/offline, before the first connection is taken
//
// # Names
//
// With --identity client-id (the default) the MQTT username is the product and the client id is the device. With
// --identity username the username is "product/device" and the client id is free, so that one device may have several
// connections; it is online until the last one ends. A session belongs to its product and device, so equal client ids
// of two products never meet.
//
// The gateway does not check passwords: a gateway of yours authenticates its devices where this one trusts them
// (mapping.go). That is why it listens on loopback unless told --insecure.
//
// # What is counted
//
//   - Every PUBLISH that a device sends, once it is received. A QoS 1 message that the device sends again because it
//     saw no PUBACK is received twice and counted twice; a QoS 2 one that is sent again while its exchange is open is
//     not.
//   - A will, as an up of the device that left it, when its connection is lost. With a will delay it is asked about
//     then too.
//   - Every delivery to a subscriber, for that subscriber, when it is about to be written: what waits for an absent
//     device, or is dropped because its queue is full, costs nothing. A QoS 1 or 2 delivery that was decided is marked
//     in the session's list of messages in flight, and the mark goes along when a session is resumed: redelivery is not
//     asked about again. It is when the connection ended between the verdict and the mark, which is a few microseconds.
//
// # Taking over
//
// When a device connects again before its old connection ended, MQTT closes the old one. Both belong to this producer,
// so a disconnect for the old one would take the new one offline. So connections are counted a device (devices.go): the
// disconnect is sent when the last one is gone, handed to the client under the same lock that counts, so that it cannot
// change places with a connect.
//
// # Commands
//
// From the first connection on the gateway listens to meterd's commands. One that ends a device closes all its
// connections at once: MQTT 5 with a DISCONNECT whose reason string is meterd's code (license_exhausted 0x97,
// renewal_off 0x87, suspended and what is new 0x98), MQTT 3.1.1 by closing. A connection whose CONNECT is still being
// asked about hears that answer first. The disconnect that follows is sent as always; meterd has the device offline by
// then, so it changes nothing. Commands are not held up by devices that do not read, and one that comes twice finds
// nobody left. A refresh changes nothing: no denial is remembered here.
//
// # Waiting
//
// The broker runs hooks in the goroutine of the connection, so a device whose message waits for meterd sends nothing
// else meanwhile: that is the back pressure. Deliveries wait in the subscriber's write loop, never in the publisher,
// and no lock of the broker is held while waiting. One subscriber therefore receives one message a round trip to meterd
// (0.1 ms for a fake on the same machine that stores nothing, a sync more for meterd); behind that its queue of
// writesPendingMax fills, and what finds it full is dropped, uncounted. The broker does hold a lock of the subscriber
// while it writes to the socket, and takes the same lock to queue QoS 1 and 2 messages, so a subscriber that stops
// reading could hold up its publishers: each write has its own deadline (writeTimeout) and a connection that misses it
// is closed.
//
// # Retries
//
// Every batch of events has a sequence, and what gets no answer is sent again with it (package client), so that a lost
// answer, a connection that breaks and a meterd that is restarted lose and double nothing. Devices wait meanwhile, for
// --ask-timeout. Failing closed that is longer than a restart takes (15 s); failing open it is 3 s, since what passes
// unasked is reported later as exactly. --producer must be this gateway's own: two of one name are found by their
// sequences and logged as an error.
//
// # When meterd cannot be asked
//
// --on-unavailable closed refuses: CONNACK 0x88 (3.1.1: 3), PUBACK or PUBREC 0x83; a 3.1.1 connection with an
// unacknowledged message is closed, so that the device keeps it; deliveries are not made. The reason string says
// "unavailable" when nothing was counted, and "ambiguous" when the time was over before anybody could know. open lets
// pass, counts, keeps type, size and time in a bounded tally, and reports them in order when meterd is back (package
// client); a device whose connect is then denied is disconnected as by a command.
package main
