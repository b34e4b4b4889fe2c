// Package event is the vocabulary that every room of meterd shares: what a gateway says (Event, Batch), what it is
// answered (Verdict, Code), and the limits of both. It keeps no state and imports nothing of ours. Package wire below
// it reads bodies into batches and writes answers.
//
//	body bytes ──wire──► Batch{Data, Events} ──engine──► Result{Accepted, Denials} ──wire──► answer bytes
//	                        │                               │
//	                        │                               └── Append, Decode: as it is remembered (FORMAT.md)
//	                        └── every name is a Ref into Data: no string, no pointer, no allocation an event
//
// Invariants:
//
//   - A Batch is reused: after Reset nothing of the former content may be looked at. Refs are offsets, so Data may be
//     moved by an append (unescaped strings and decoded payloads are appended behind the body).
//   - An Event whose Fault is not zero was refused by the decoder; it is denied as Fault.Code says and is never
//     decided.
//   - Codes, their wire names and HTTP statuses stand in one table (code.go), bounds in one file (limits.go).
package event
