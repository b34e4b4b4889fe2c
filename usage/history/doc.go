// Package history keeps how usage came about: samples of every product's totals and stock, every ten seconds, for two
// days, and five minutes apart for as long as the ledger keeps its rows. People look at them with PromQL.
//
//	a demo's week ──AddPast──► what was seen between quarters ───┐
//	engine ──Source.Now──► writer, at aligned instants ──────────┬─► store "fine": every 10 s, 2 days
//	ledger ──Source.Quarters──► filler, quarters of an hour ─────┴─► store "thin": the last sample of every 5 min
//	console ──History.Query──► forced label ─► the store that reaches back far enough
//
//	Supervisor ──► a child process a store (package child), or with --usage-url one VictoriaMetrics of the operator's
//
// No decision reads the history, and billing does not either: /v1/usage reads the ledger. So it may lag, fail, and be
// lost; it heals from the ledger.
//
// Invariants:
//
//   - A sample is a cumulative value at an aligned instant, of groups that are durable. Writing it again changes
//     nothing.
//   - The counters at a quarter of an hour come from the ledger alone, so that what is filled in later is the same.
//   - How far a store is filled is a sample in that store. A store that is empty, or lost its files, is filled from the
//     beginning; one that lost its last seconds is filled from before them.
//   - What a client sends never reaches a store: a request is parsed, and a new one is made of what is known. Every
//     selector in it is given the label of the account that the token may see.
//   - A child that dies is started again, later each time. One that does not answer is killed. If one ends again and
//     again by a fault of its own, its files are moved aside.
//   - Every query is answered by one store: what reaches back more than two days shows five minutes everywhere.
//
// FORMAT.md lists the series and the files.
package history
