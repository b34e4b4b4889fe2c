// Package child is the process that keeps the usage history: VictoriaMetrics, embedded, behind a Unix socket. It is the
// only package that imports VictoriaMetrics' storage and query engine. Only cmd imports it, and runs it in a process of
// its own, since that engine has some two hundred flags of its own, takes memory by its own rules, and ends the process
// when it finds its files damaged.
//
//	meterd serve ─┬─ pipe (stdin): ends when the parent does ──────────────► flush, exit
//	              └─ DIR/history/NAME.sock ─► GET /health                    "ok" once the storage is open
//	                                          POST /api/v1/import/prometheus  samples
//	                                          GET /api/v1/query …             the five reading paths
//
// Invariants:
//
//   - It ends when its parent ends: by the signal that the kernel sends, and by the end of its standard input.
//   - It writes StageOpen to its standard output when its files are open. A process that ends before that again and
//     again has damaged files.
//   - It has no more rights than the socket's directory gives: whoever can open the socket can read everything. Which
//     account may see what is decided by the parent.
package child
