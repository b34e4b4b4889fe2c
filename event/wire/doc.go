// Package wire reads what gateways send and writes what they are answered: NDJSON, JSON, CloudEvents and protobuf.
//
//	NDJSON, JSON ──► decoder ──► object ─────────┐
//	                    │                        ├──► judge ──► Batch: valid events, and events with a Fault
//	CloudEvents ────────┴──────► cloudEvent ─────┘
//	protobuf ──► protoReader: columns and tables ──► judge ─► the same Batch
//
//	Result ──► AppendResult, AppendResultProtobuf      Verdict of one event ──► AppendVerdict
//	Frame of a stream ◄──► DecodeFrame, AppendFrame: a batch, an answer, a command, …, each with its Append and Decode
//	Problem ─► AppendProblem
//
// Invariants:
//
//   - The same event in another format becomes the same Event, and the same mistake the same Fault.
//   - A body that is not what it claims to be is refused whole, with the place; a value that is not allowed costs its
//     own event alone.
//   - A body is only read, and only until the call returns: it is copied into the Batch. No decoder allocates once its
//     Batch is warm.
//   - No body makes a decoder panic, or read behind its end: fuzz targets beside each hold it against encoding/json and
//     the official protobuf codec.
//
// FORMAT.md draws a protobuf batch.
package wire
