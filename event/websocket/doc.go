// Package websocket reads and writes frames of RFC 6455, as bytes and without a connection: the daemon, the client and
// the load generator have their own connections, and read and write many frames at a time.
//
//	bytes received ──► ParseHeader ──► payload of Length bytes, which lies behind the header
//	                                     │ Mask: as it was sent (a client's is masked)
//	                                     ▼
//	                                   Binary: a meterd.v1.Frame ·  Ping: answer with a Pong  ·  Close: ParseClose
//
//	AppendHeader + payload, AppendControl, AppendClose ──► bytes to send
//
// A library hands out one message at a time, through a reader that it allocates, and does not tell what it has read
// beyond it. So ten frames that arrive together could not be decided, stored and answered together.
//
// Invariants:
//
//   - Nothing is allocated but what an append grows.
//   - A header is taken only if its frame is one of RFC 6455 without extensions: reserved bits are 0, lengths have
//     their shortest form, control frames are whole and short.
package websocket
