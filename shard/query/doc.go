// Package query answers questions about the state: what a device has used, which licences were consumed, how long they
// last, what a device's log says. It decides nothing and writes nothing.
//
//	View ────────────► shard.Engine.View ──► device table, catalogue, pools
//	DeviceLog ───────► the raw log ──► rows of one device
//	ProductLog ──────► the same ─────► rows of a product, and the names of its devices
//	Licenses, Audit ─► the ledger, once it has what was decided before the call
//	Usage ───────────► the ledger as well: totals of products where windows meet
//	TopDevices, WhatIf ► words of devices in View, then the ledger's closed days of the same, some devices at a time
//	Forecast ────────► View for the ends to come, the ledger for first connects of the past
//
// Invariants:
//
//   - What an answer says was durable before it is returned, as shard.Engine.View has it.
//   - Nothing is read in one piece whose size others decide: devices are looked at in steps, the log in blocks, and
//     lists go to a function that says when to stop.
//   - The gate is held while the caller's function runs in View alone: a slow reader of a log or of a list delays
//     nobody.
//   - A ledger that cannot be read fails the request alone (shard.ErrLedgerLags), never the engine.
package query
