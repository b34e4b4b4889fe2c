package demo

import (
	"cmp"
	"slices"
	"time"

	"github.com/meterd/meterd/event"
)

// rollOut is one firmware package for the first devices of a product, within two hours. With one device in twelve it
// fails: what was counted is given back, and it is tried once more.
type rollOut struct {
	product, zone, id string
	bytes             int64
	count             int
}

const rollOutFor = 2 * time.Hour

// plan adds the roll-out's events to what the fleet does.
func (r rollOut) plan(f *fleet, from time.Time) {
	for _, d := range f.queue {
		if d.model.product != r.product || d.number > r.count {
			continue
		}
		atMs := from.UnixMilli() + d.between(0, rollOutFor)
		ota := message{device: d, kind: event.OTA, atMs: atMs, size: r.bytes, id: r.id}
		f.planned = append(f.planned, ota)
		if d.number%12 == 5 {
			void, again := ota, ota
			void.kind, void.size, void.atMs = event.OTAVoid, 0, atMs+d.between(4*time.Minute, 15*time.Minute)
			again.id, again.atMs = r.id+"-again", void.atMs+d.between(time.Minute, 20*time.Minute)
			f.planned = append(f.planned, void, again)
		}
	}
	slices.SortFunc(f.planned, func(a, b message) int {
		return cmp.Or(cmp.Compare(a.atMs, b.atMs), cmp.Compare(a.device.name, b.device.name))
	})
}
