// Package bench measures the daemon end to end: the real binary, its HTTP interface, a real disk, and a load generator
// on the same machine. Scenarios lists the scenarios; `meterd bench` runs them.
//
//	Run ─► part ─► target ─ starts `meterd serve` in a fresh directory, or connects to a running daemon
//	        │               creates an account and a fleet: a product and one lot with a licence for each device
//	        ▼
//	       step: a scenario and its options ─► load ─► callers: one connection each, all served by one epoll loop
//	        │                                   │       draws ─► messages ─► encoder: protobuf or NDJSON
//	        │                                   │         ─► one write, with producer and next sequence
//	        │                                   │         ─► one answer, compared byte by byte ─► histogram, timeline
//	        │                                   └ probe: /proc and /metrics at both ends of the measured window
//	        ├──── verify: sent = answered = counted = logged; without that there is no figure
//	        ▼
//	       Report ─► table and ratios for people, JSON for programs
//
// A yardstick (redis, victoria) takes the same path with its own encoder and session, while the daemon is stopped.
//
// # What the figures mean
//
// Events a second are the events answered within the measured window, divided by its length. The warm-up before it and
// the batches in flight after it are checked like the rest, but do not count. Callers are a closed loop: each has one
// batch in flight and sends the next one when it has the answer. So latency is the time from the first byte written to
// the answer read, a caller sees a stall once, and the rate is what this many callers can get, not what gateways offer.
// Percentiles come from one HDR histogram that is at most 0.8 % off.
//
// Streams may have several batches in flight, and then the latency of a batch includes its wait behind those before it
// on the same stream. At a fixed rate batches are sent each millisecond, those that are due together; latency is from
// the write on, so a loader that wakes late does not count, and a rate that the daemon cannot keep shows as a lower
// one. Masks are 0: the daemon takes them off like any other.
//
// CPU seconds are user and system time of the daemon and of the loader by /proc. They include the kernel's work for
// connections. `other` is the share of all CPUs that other processes used: it shows a figure that was disturbed.
//
// RSS anon and RSS file are resident anonymous memory and resident mapped files. The device table is anonymous memory;
// the kernel can take mapped files back. `logged` is what the daemon has written to its log since it started, so both
// show whether memory grows with the log.
//
// Log bytes an event are the bytes that the daemon says it wrote to its log, divided by the rows in it. Written bytes
// an event are those that the kernel wrote for the process (write_bytes), including checkpoints and pages that are
// written twice.
//
// A stall is the longest time in which no connection got an answer, to the millisecond. The longest batch (max) is what
// one connection waited.
//
// # Comparing
//
// The hosts of virtual machines are shared: the same run differs by up to a half between hours. So compare within one
// run. With Options.Against every scenario, and every case of steady, is measured with two daemons in fresh
// directories, alternating, Rounds times. The report has the ratio of each figure, as the median of the rounds, and for
// each daemon the ratio to the yardsticks of the same rounds.
//
// # A cluster
//
//	one daemon ─► stopped ─► three nodes, six cells ─ move ─► n1 owns all ─► n1 and n2 ─► all three ─► through one router
//	                          an account in each cell, its gateways' token is bound to it: straight to the cell's owner
//
// Three nodes share this machine with the loader, so events a second say what the machine does, and not what three do.
// What nodes on machines of their own would do follows from what an event costs each process: cluster measures that
// from before the load until no copy lacks anything and no view works any more. So what was put off is in it, unlike in
// the daemon's CPU seconds of other tables, which are of the window. What the process uses when it is idle is taken
// off, and the loader is a process of its own. Of two nodes that cost differently the busier one bounds the cluster.
//
// # What makes them honest
//
//   - No batch is sent twice, and each has a sequence: all figures include exact retries. Devices, types and sizes come
//     from a generator whose seed is printed. Devices are drawn uniformly unless a case says zipf or devices. Payload
//     is fresh hexadecimal digits, which compress to a half at best, as telemetry does.
//   - Every event must be accepted. Any other answer ends the run with an error. In denials every event must be denied,
//     with the one expected code.
//   - The data directory must be on a disk: tmpfs is refused. The daemon has its default durability; it has no other.
//   - The daemon checkpoints at least every half minute here, so that a window of a minute contains a checkpoint. The
//     result has their number, and a long window without one gets a note.
//   - The product's day ends hours later, so no rollover hides half of the counts. In midnight it ends in the middle of
//     the window, and both days are compared.
//   - A hot device would reach the most messages of a day (R10) in seconds: before that, the next device is drawn.
//   - The messages of each device are known: they are drawn again after the window. A random sample of devices, and the
//     busiest one, are read back and compared. Totals are compared exactly. Logs are compared from the beginning of the
//     stage, because finding a device's log scans all that was logged since.
//   - Yardsticks have the same loader, disk, connections and TCP, and the settings that are best for them. Their counts
//     are compared too. Redis decides one message a command, alone or 128 deep.
//   - The loader's own CPU time is printed. On the same two cores it is a seventh of the work with batches of 1000, and
//     a third with single events. An event costs it 10 ns to make in protobuf and 15 in NDJSON (BenchmarkFill); the
//     rest is the kernel's.
//
// # Invariants
//
//   - The loader allocates nothing a batch once its buffers have grown.
//   - A scenario adds a result only after its check has passed. A failed check is an error, and keeps the data
//     directory.
package bench
