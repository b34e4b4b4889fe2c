package rows

// findBatch is how many devices are looked up at once, so that their cache misses overlap.
const findBatch = 256

// yieldEvery is how many devices pass before requests get the processor, and before a look whether the context has
// ended: some 20 µs. Without it a seal could wait for 10 ms until the scheduler takes the processor away.
const yieldEvery = 128
