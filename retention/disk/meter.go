package disk

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Room is a part of the data directory.
type Room struct {
	Name  string // of its directory
	Bytes uint64 // that it takes on the disk
	// GrowthBytes is how much more it takes a day; 0 while Report.IsTrendKnown is false.
	GrowthBytes int64
}

// Report is what the rooms take, and how long the disk lasts.
type Report struct {
	Rooms        []Room
	FreeBytes    uint64
	StopBytes    uint64 // events are refused when less is free
	IsTrendKnown bool   // measurements go back far enough
	// DaysLeft is how many days it takes at this pace until events are refused; negative if that will not be.
	DaysLeft float64
}

// Meter measures now and then what the rooms of a data directory take. It is safe for concurrent use.
type Meter struct {
	rooms  []string
	guard  *Guard
	logger *slog.Logger

	mu    sync.Mutex
	taken []measurement // of the last trendOver, oldest first
}

type measurement struct {
	at    time.Time
	bytes []uint64 // of each room
}

// NewMeter returns a Meter of a directory that has measured nothing yet.
func NewMeter(d *Dir, logger *slog.Logger) *Meter {
	return &Meter{rooms: append(d.rooms(), d.HistoryPath()), guard: d.Guard(), logger: logger}
}

// Rooms returns the names of the rooms, in the order of Report.
func (m *Meter) Rooms() (names []string) {
	for _, path := range m.rooms {
		names = append(names, filepath.Base(path))
	}
	return names
}

// Run measures every so often until ctx ends.
func (m *Meter) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := m.Measure(time.Now()); err != nil {
			m.logger.Warn("what the data directory takes cannot be measured", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Measure measures at an instant, which is not before the last one's.
func (m *Meter) Measure(now time.Time) error {
	at := measurement{at: now, bytes: make([]uint64, len(m.rooms))}
	for i, room := range m.rooms {
		var err error
		if at.bytes[i], err = bytesOf(room); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken = append(slices.DeleteFunc(m.taken, func(t measurement) bool { return now.Sub(t.at) > trendOver }), at)
	return nil
}

// bytesOf returns what the files below a path take. One that is removed meanwhile takes nothing.
func bytesOf(path string) (bytes uint64, err error) {
	err = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && !e.IsDir() {
			info, err = e.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || info == nil:
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += uint64(stat.Blocks) * blockBytes
		}
		return nil
	})
	return bytes, err
}

// Report returns what was measured last.
func (m *Meter) Report() Report {
	r := Report{FreeBytes: m.guard.FreeBytes(), StopBytes: m.guard.StopBytes(), DaysLeft: -1}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.taken) == 0 {
		return r
	}
	first, last := &m.taken[0], &m.taken[len(m.taken)-1]
	over := last.at.Sub(first.at)
	r.IsTrendKnown = over >= trendFrom
	growth := 0.0 // of all rooms a day
	for i, path := range m.rooms {
		room := Room{Name: filepath.Base(path), Bytes: last.bytes[i]}
		if r.IsTrendKnown {
			perDay := (float64(last.bytes[i]) - float64(first.bytes[i])) / (over.Hours() / hoursADay)
			room.GrowthBytes = int64(perDay)
			growth += perDay
		}
		r.Rooms = append(r.Rooms, room)
	}
	if growth > 0 {
		r.DaysLeft = float64(r.FreeBytes-min(r.FreeBytes, r.StopBytes)) / growth
	}
	return r
}
