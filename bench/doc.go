// Package bench measures the daemon end to end: the real binary, its HTTP interface, a real disk, and a load generator on the
// same machine. The scenarios are listed by Scenarios; `meterd bench` runs them.
//
//	Run ─► target ─ starts `meterd serve` in a fresh directory, or is told where one is
//	         │        account, product (no message limit), one lot of exactly as many licences as devices
//	         ▼
//	       scenario ─► load ─► callers: a connection and a goroutine each
//	         │                   source ─► lines in a reused buffer ─► one write ─► one answer, compared byte by byte
//	         │                                                               └────► histogram, counters
//	         ├──── probe: /proc and /metrics at both ends of the measured window
//	         ├──── verify: sent = accepted = counted = logged, or the figure is no figure
//	         ▼
//	       Report ─► table for people, JSON for comparing
//
// # What the figures are
//
// Events a second are those answered within the measured window, divided by its length; the warm-up before it and the batches
// still in flight after it are checked like the rest, and left out of the rate. Callers are a closed loop: each has one batch in
// flight and sends the next when it has the answer. So latency is the time of a batch from its first byte written to its answer
// read, a stall is seen once a caller, and the rate is what this many callers can have, not what a gateway offers. Percentiles
// come from a histogram that is at most 1.6 % off, never from an average of percentiles.
//
// CPU seconds are user and system time of the daemon and of the loader by /proc, so what the kernel does for a
// connection is in them; `other` is what anybody else on the machine used meanwhile, as a part of all its CPUs: a figure
// taken beside a busy neighbour shows it.
// Log bytes an event are those the daemon says it wrote to its commit log, divided by the rows in it; written bytes an event are
// those the kernel wrote for the process (write_bytes), checkpoints and pages written twice included.
//
// # What keeps them honest
//
//   - No batch is sent twice. Devices are drawn uniformly, type and size with them, from a generator whose seed is printed; payload
//     is fresh hexadecimal digits, which compress to a half at best, as telemetry does, and never to a reference to an earlier one.
//   - Every event must be accepted. An answer that is not exactly `all of them accepted` ends the run with an error.
//   - The data directory must be on a disk: tmpfs is refused. The daemon is started with its default durability, there is no other.
//   - The daemon checkpoints at least every half minute here (its default is a minute), so that a measured minute holds a
//     checkpoint; how many there were is in the result, and a long window without one says so.
//   - The product's day ends hours later: no rollover hides half of the counts, none is measured by accident.
//   - What callers sent is known a device: the draws are made again after the window, outside of what is measured, and a random sample
//     of devices is read back and compared, message by message and direction by direction. Totals are compared exactly.
//   - The loader's own share is printed: on the same two cores it was a sixth of the work with batches of 1000, a third with single
//     events, and the daemon would do more without it.
//
// # Invariants
//
//   - The loader allocates nothing a batch once its buffers have grown.
//   - A scenario adds results only after its check passed; a failed check is an error, and keeps the data directory.
package bench
