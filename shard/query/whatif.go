package query

import (
	"context"
	"slices"

	"github.com/meterd/meterd/license"
)

// WhatIf is what a quota of messages would have denied on some days.
type WhatIf struct {
	Devices        int64 // that sent or were sent messages, denied ones too
	DevicesDenied  int64 // among them, those with a message denied
	MessagesDenied uint64
	Days           []WhatIfDay // each day, in their order
}

// WhatIfDay is what a quota would have denied on a day.
type WhatIfDay struct {
	Day            uint32
	DevicesDenied  int64
	MessagesDenied uint64
}

// WhatIf returns what messagesPerDay units a day, in place of the plan's, would have denied of the messages of a
// product's devices on the days from from to to (R10). What a device wanted on a day is what was accepted and what the
// quota denied then. Everything that was acknowledged before the call is in it. It holds deviceUsesAtOnce devices in
// memory.
func (r *Reader) WhatIf(
	ctx context.Context, p *license.Product, from, to, messagesPerDay uint32,
) (*WhatIf, error) {
	w := &WhatIf{}
	for day := from; day <= to; day++ {
		w.Days = append(w.Days, WhatIfDay{Day: day})
	}
	type fate struct{ isUsed, isDenied bool }
	var fates []fate
	s := productDays{r: r, p: p, from: from, to: to, atOnce: r.usesAtOnce}
	err := s.each(ctx, func() error {
		fates = slices.Grow(fates[:0], len(s.devices))[:len(s.devices)]
		clear(fates)
		err := s.messages(ctx, func(i int, d DeviceDay) {
			wanted := uint64(d.Up) + uint64(d.Down) + d.Denied
			fates[i].isUsed = true
			if wanted <= uint64(messagesPerDay) {
				return
			}
			fates[i].isDenied = true
			day := &w.Days[d.Day-from]
			day.DevicesDenied++
			day.MessagesDenied += wanted - uint64(messagesPerDay)
		})
		for _, f := range fates {
			if f.isUsed {
				w.Devices++
			}
			if f.isDenied {
				w.DevicesDenied++
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range w.Days {
		w.MessagesDenied += w.Days[i].MessagesDenied
	}
	return w, nil
}
