package main

import (
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
)

// diskUse is what a meter of the data directory reports, as the API shows it.
func diskUse(m *disk.Meter) api.Disk {
	r := m.Report()
	d := api.Disk{FreeBytes: r.FreeBytes, StopBytes: r.StopBytes}
	if r.DaysLeft >= 0 {
		d.DaysLeft = &r.DaysLeft
	}
	for _, room := range r.Rooms {
		use := api.DiskUse{Kind: room.Name, Bytes: room.Bytes}
		if r.IsTrendKnown {
			use.GrowthBytes = &room.GrowthBytes
		}
		d.Uses = append(d.Uses, use)
	}
	return d
}

// registerDiskUse adds what the data directory takes by its rooms, which are all there after the first measurement.
func registerDiskUse(set *metric.Set, m *disk.Meter) {
	gauges := set.Gauges("meterd_disk_bytes", "Bytes that a kind of data takes on the disk.")
	for i, room := range m.Rooms() {
		gauges.Func(func() float64 {
			if rooms := m.Report().Rooms; i < len(rooms) {
				return float64(rooms[i].Bytes)
			}
			return 0
		}, "kind", room)
	}
}
