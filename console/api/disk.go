package api

import (
	"math"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

// DiskUse is what a kind of data takes on the disk.
type DiskUse struct {
	Kind  string
	Bytes uint64
	// GrowthBytes is how much more it takes a day, nil while that is not known yet.
	GrowthBytes *int64
}

// Disk is what the data takes on the disk, and how long that has room.
type Disk struct {
	Uses      []DiskUse
	FreeBytes uint64
	StopBytes uint64   // events are refused when less is free
	DaysLeft  *float64 // until then at this pace; nil: never, or nobody knows yet
}

type diskAnswer struct {
	FreeBytes uint64          `json:"free_bytes"`
	StopBytes uint64          `json:"stop_bytes"`
	DaysLeft  *float64        `json:"days_left"`
	Kinds     []diskUseAnswer `json:"kinds"`
}

type diskUseAnswer struct {
	Kind        string `json:"kind"`
	Bytes       uint64 `json:"bytes"`
	GrowthBytes *int64 `json:"growth_bytes_per_day"`
}

// showDisk answers GET /v1/disk.
func (c *call) showDisk() error {
	if c.token.Account != "" {
		return &event.Problem{
			Code: event.Forbidden, Detail: "the token " + c.token.Name + " is bound to an account; the daemon serves all",
		}
	}
	d := c.o.Disk()
	answer := diskAnswer{FreeBytes: d.FreeBytes, StopBytes: d.StopBytes, Kinds: make([]diskUseAnswer, len(d.Uses))}
	if d.DaysLeft != nil {
		tenths := math.Round(*d.DaysLeft*10) / 10 // More would be made up.
		answer.DaysLeft = &tenths
	}
	for i, u := range d.Uses {
		answer.Kinds[i] = diskUseAnswer(u)
	}
	return c.answer(fasthttp.StatusOK, answer)
}
