//go:build race

package counters

// raceEnabled makes tests smaller: the detector is ten times slower and sees every word, since slabs are on the heap
// then.
const raceEnabled = true
