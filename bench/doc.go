// Package bench measures the daemon end to end: the real binary, its HTTP interface, a real disk, and a load generator
// on the same machine. The scenarios are listed by Scenarios; `meterd bench` runs them.
//
//	Run ─► part ─► target ─ starts `meterd serve` in a fresh directory, or is told where one is
//	        │               account; a fleet: product and one lot of exactly as many licences as devices
//	        ▼
//	       step: scenario and settings ─► load ─► callers: a connection each, all on one thread
//	        │                              │       draws ─► messages ─► encoder: protobuf or NDJSON in a reused buffer
//	        │                              │         ─► one write, as a producer with its next sequence ─► one answer, judged byte by byte
//	        │                              │                                                  └──► histogram, timeline, counters
//	        │                              └ probe: /proc and /metrics at both ends of the measured window
//	        ├──── verify: sent = answered = counted = logged, or the figure is no figure
//	        ▼
//	       Report ─► table and ratios for people, JSON for comparing
//
// A yardstick (redis, victoria) goes the same way with an encoder and a speaker of its own, while the daemon is
// stopped.
//
// # What the figures are
//
// Events a second are those answered within the measured window, divided by its length; the warm-up before it and the
// batches still in flight after it are checked like the rest, and left out of the rate. Callers are a closed loop: each
// has one batch in flight and sends the next when it has the answer. So latency is the time of a batch from its first
// byte written to its answer read, a stall is seen once a caller, and the rate is what this many callers can have, not
// what a gateway offers. Percentiles come from a histogram that is at most 1.6 % off, never from an average of
// percentiles.
//
// CPU seconds are user and system time of the daemon and of the loader by /proc, so what the kernel does for a
// connection is in them; `other` is what anybody else on the machine used meanwhile, as a part of all its CPUs: a
// figure taken beside a busy neighbour shows it. Log bytes an event are those the daemon says it wrote to its commit
// log, divided by the rows in it; written bytes an event are those the kernel wrote for the process (write_bytes),
// checkpoints and pages written twice included.
//
// A stall is the longest time in which no connection was answered at all, to the millisecond; the longest batch says
// what one connection waited.
//
// # What keeps them honest
//
//   - No batch is sent twice, and every one has a sequence: all figures are with exact retries on. Devices are drawn,
//     type and size with them, from a generator whose seed is printed: uniformly, unless a case says zipf or devices.
//     Payload is fresh hexadecimal digits, which compress to a half at best, as telemetry does, and never to a
//     reference to an earlier one.
//   - Every event must be accepted. An answer that is not exactly `all of them accepted` ends the run with an error. In
//     denials every event must be denied, with the one code that is meant.
//   - The data directory must be on a disk: tmpfs is refused. The daemon is started with its default durability, there
//     is no other.
//   - The daemon checkpoints at least every half minute here (its default is a minute), so that a measured minute holds
//     a checkpoint; how many there were is in the result, and a long window without one says so.
//   - The product's day ends hours later: no rollover hides half of the counts, none is measured by accident. In
//     midnight it ends in the middle of the window, and both days are compared.
//   - A hot device would use up the most that a day may hold (R10) in seconds: others have their turn before it does,
//     one after the other.
//   - What callers sent is known a device: the draws are made again after the window, outside of what is measured, and
//     a random sample of devices is read back and compared, message by message and direction by direction, with the one
//     that was sent most. Totals are compared exactly. Logs are compared from the beginning of the stage, because a
//     device's log is found by reading all that was logged since.
//   - Yardsticks have the same loader, disk, connections and TCP, and the settings that are best for them, with the
//     reasons beside them; what they count is compared, too. Ratios are of windows of one run. Redis decides one
//     message a call, as its users do, alone or 128 deep.
//   - Where two ways to run the daemon are compared, they take turns.
//   - The loader's own share is printed: on the same two cores it is a seventh of the work with batches of 1000, a
//     third with single events, and the daemon would do more without it. An event costs it 10 ns to make in protobuf
//     and 15 in NDJSON (BenchmarkFill), the rest is the kernel's.
//
// # Invariants
//
//   - The loader allocates nothing a batch once its buffers have grown.
//   - A scenario adds results only after its check passed; a failed check is an error, and keeps the data directory.
package bench
