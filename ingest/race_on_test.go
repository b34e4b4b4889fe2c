//go:build race

package ingest

// raceEnabled leaves out what the race detector cannot measure.
const raceEnabled = true
