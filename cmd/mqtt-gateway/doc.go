// Command mqtt-gateway is an MQTT broker whose devices are metered by meterd: the reference for writing a gateway.
//
//	CONNECT ───────► connect     denied: CONNACK 0x97 quota exceeded, 0x87 not authorized, 0x8A banned (3.1.1: 5)
//	PUBLISH in ────► up          denied: PUBACK or PUBREC 0x97 quota exceeded, 0x87 not authorized;
//	                             3.1.1: acknowledged and dropped; QoS 0: dropped
//	PUBLISH out ───► down        decided in the subscriber's write loop, right before it is written; denied: not written
//	connection over► disconnect  when it was the device's last one
//	commands ──────► disconnect: connections closed, DISCONNECT 0x97 quota exceeded, 0x87 not authorized,
//	                             0x98 administrative action
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
// (mapping.go). That is why it listens on loopback unless --insecure is given.
//
// # What is counted
//
//   - Every PUBLISH that a device sends, once it is received. A QoS 1 message that the device sends again because it
//     saw no PUBACK is received twice and counted twice. A QoS 2 message counts once until its device releases it
//     (PUBREL), however often it is sent, also over several connections of a session.
//   - A will, as an up of the device that left it, when its connection is lost. With a will delay it is asked about
//     then too.
//   - Every delivery to a subscriber, for that subscriber, when it is about to be written: what waits for an absent
//     device, or is dropped because its queue is full, costs nothing. A QoS 1 or 2 delivery that was decided is marked
//     in the session's list of messages in flight, and the mark is kept when a session is resumed: redelivery is not
//     asked about again. It is when the connection ended between the verdict and the mark, which is a few microseconds.
//
// # Messages that can never be valid
//
// These are not asked about. They are acknowledged, dropped, and counted in meterd_gateway_denied_total by reason; the
// first one of a connection is logged:
//
//   - topic_invalid: topics that begin with $SYS, in upper or lower case. They are the broker's own (MQTT 5, 4.7.2).
//     Also $share without a group and a topic, and a topic alias that was never set.
//   - topic_too_long: topics of more than 256 bytes.
//   - payload_too_large: payloads of more than 256 KiB. A PUBLISH of any length is read to its end; of one that is
//     longer than 384 KiB only the beginning is kept in memory.
//
// Without an acknowledgement a device would send such a message again after each reconnect, before anything else. MQTT
// 5 devices are told why: 0x90 (topic name invalid) or 0x99 (payload format invalid), with a reason string that begins
// with meterd's code, invalid_event or payload_too_large. 0x95 (packet too large) would be the better word, but MQTT 5
// does not allow it in a PUBACK or PUBREC, and there are clients that stop reading when they get it. It is sent where
// it is allowed: in the DISCONNECT that ends a connection whose PUBLISH has properties too large to be read.
//
// 0x97 (quota exceeded) is only for quotas, since a device waits for the next day when it gets it. A PUBLISH that is
// not MQTT, say with a wildcard in its topic, closes the connection, as MQTT demands. So do the other packets that are
// longer than 384 KiB.
//
// # QoS 2
//
// The gateway keeps its own list of the QoS 2 messages that a session has received (exchange.go), so that a message
// which is sent again is answered with PUBREC 0x00, counted once and delivered once: after a lost PUBREC, with and
// without a reconnect, and also when the connection ended while meterd was being asked. A PUBREL that is sent again is
// answered with PUBCOMP 0x00. What meterd denied is not kept for MQTT 5: the PUBREC with the reason ends the exchange.
//
// # Shared subscriptions
//
// Each message goes to one member, chosen at random among those that have room. Whether a member has room is known when
// meterd is asked, right before the delivery is written. When it is denied, the message is passed on to another member,
// until one may have it or each that had room was tried (shared.go). The denial is remembered until a refresh command,
// the end of the quota's window, or for a minute, so that a member over its quota is not asked about every message.
//
// Passing on changes the order of messages, and a member that also has an ordinary subscription to the topic may get a
// second copy. A message is not passed on when meterd cannot be asked, or when the queue of its member is full.
//
// # Taking over
//
// When a device connects again before its old connection ended, MQTT closes the old one. Both belong to this producer,
// so a disconnect for the old one would take the new one offline. So connections are counted a device (devices.go): the
// disconnect is sent when the last one has ended. It is handed to the client under the lock that counts connections, so
// that it cannot change places with a connect.
//
// # Commands
//
// From the first connection on the gateway follows meterd's commands. One that ends a device closes all its
// connections at once: MQTT 5 with a DISCONNECT whose reason string is meterd's code (license_exhausted 0x97,
// renewal_off 0x87, suspended and codes of later versions 0x98), MQTT 3.1.1 by closing. A connection whose CONNECT is
// still being asked about gets its CONNACK first. The disconnect event that follows is sent as always; meterd has the
// device offline by then, so it changes nothing. Devices that do not read do not delay commands. A command that comes
// twice finds no connection left. A refresh makes the gateway forget the denials of shared subscriptions; no others are
// remembered.
//
// # Waiting
//
// The broker runs hooks in the goroutine of the connection, so a device whose message waits for meterd sends nothing
// else meanwhile: that is the back-pressure. Deliveries wait in the subscriber's write loop, never in the publisher,
// and no lock of the broker is held while waiting. One subscriber therefore receives one message a round trip to meterd
// (0.1 ms for a fake on the same machine that stores nothing, a sync more for meterd). Meanwhile its queue of
// writesPendingMax fills. What finds the queue full is dropped, uncounted.
//
// The broker holds a lock of the subscriber while it writes to the socket, and takes the same lock to queue QoS 1 and 2
// messages, so a subscriber that stops reading could block its publishers. Each write therefore has its own deadline
// (writeTimeout), and a connection that misses it is closed.
//
// # Retries
//
// Events and commands have one WebSocket (--transport stream), or HTTP. Every batch of events has a sequence, and what
// gets no answer is sent again with it (package client), so that a lost answer, a connection that breaks and a meterd
// that is restarted lose and double nothing. Devices wait meanwhile, for --ask-timeout. Failing closed that is longer
// than a restart takes (15 s), or than another node needs to go on (25 s, with several in --meterd-url); failing open
// it is 3 s, since what passes unasked is reported later as exactly.
// --producer must be this gateway's own: two of one name are found by their sequences and logged as an error.
//
// # When meterd cannot be asked
//
// --on-unavailable closed refuses: CONNACK 0x88 (3.1.1: 3), PUBACK or PUBREC 0x83; a 3.1.1 connection with an
// unacknowledged message is closed, so that the device keeps it; deliveries are not made. The reason string says
// "unavailable" when nothing was counted, and "ambiguous" when the time was over before that could be known. open lets
// pass, counts, keeps type, size and time in a bounded list, and reports them in order when meterd is back (package
// client); a device whose connect is then denied is disconnected as by a command. last-known does what meterd last said
// about the device, a quota's denial until its window ends: what passes is reported as with open, and a device that
// this gateway has not asked about is refused as with closed, so that one which starts waits for meterd.
//
// --spool keeps what passed on disk, synced before the device gets its acknowledgement. A gateway that was killed
// reports it at its next start, before it says anything else, with the sequences that were drawn for it. So whatever a
// device saw acknowledged is counted once, also when gateway and meterd are killed in turns. A message that was not
// acknowledged then is sent again by its device, and counts as the new message that it is for the gateway. With the
// spool full or broken open and last-known refuse as closed does; meterd_gateway_spool_faults_total rises, and the log
// says why.
//
// # Work-arounds for the broker
//
// Each is explained beside its code:
//
//   - its own listener, since no hook is sure to run when a connection ends (listener.go)
//   - its own reader of packets, since the broker closes a connection for a PUBLISH that is too long (packetreader.go)
//   - answers to what the broker would drop without an acknowledgement: $SYS (invalid.go)
//   - its own list of QoS 2 messages, since the broker's has both directions in one, is copied when a session is taken
//     over, and answers 0x91 to a message that is sent again (exchange.go)
//   - acknowledgements are not sent again with a resumed session: the device might take one for that of a later message
//     (hook.go)
//   - its own choice among the members of a shared subscription (shared.go)
//   - its own window for Receive Maximum: the broker's count can lock up a subscriber with its publishers (window.go)
//   - every packet is written at once: a write that is held back waits for a next packet, which may be denied
//     (gateway.go)
//   - no topic aliases to subscribers: the message that names the alias may be denied (hook.go)
//   - refusals are sent by the hook: the broker closes without a CONNACK, and answers QoS 2 with a PUBACK (hook.go)
//   - a write deadline for each packet, because the broker holds a lock that publishers need while it writes
//     (listener.go)
package main
