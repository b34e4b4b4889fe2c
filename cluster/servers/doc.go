// Package servers connects to the servers of NATS that an operator runs, and refuses servers that no commit log may be
// trusted to.
//
//	--nats-url ────────────► Connect ─► connection for streams
//	--nats-system-creds ───► System  ─┐
//	--nats-monitor ────────► Monitors ┴► Server: version, JetStream, sync_interval, max_payload
//	streams: their replicas ──────────────┴─► Examine ─► a sentence for each fault
//	                                             ▲
//	                         Watch: at start, and then every 10 s
//
// A server that acknowledges before its disk has the data loses what was acknowledged when power fails on a majority,
// and nothing else shows that. So what cannot be seen is refused, too.
//
// Invariants:
//
//   - Every replica of a stream that is not offline was seen, and syncs always, or there is a fault.
//   - A server that does not answer for a moment is no fault; one that was seen to be wrong is, at once.
package servers
