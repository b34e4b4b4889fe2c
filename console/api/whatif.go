package api

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/query"
)

type whatIfAnswer struct {
	From           string            `json:"from"`
	To             string            `json:"to"`
	MessagesPerDay uint32            `json:"messages_per_day"`
	Devices        int64             `json:"devices"`
	DevicesDenied  int64             `json:"devices_denied"`
	MessagesDenied uint64            `json:"messages_denied"`
	Days           []whatIfDayAnswer `json:"days"`
	AvailableFrom  *string           `json:"available_from,omitempty"` // the first day that is kept, if days go beyond it
}

type whatIfDayAnswer struct {
	Day            string `json:"day"`
	DevicesDenied  int64  `json:"devices_denied"`
	MessagesDenied uint64 `json:"messages_denied"`
}

// whatIf answers GET /v1/products/{product}/what-if?messages_per_day=: what another quota of messages would have denied
// of late, the running day included.
func (c *call) whatIf() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	quota, err := c.wholeNumber("messages_per_day", 0, event.MessagesPerDayMax)
	if err != nil {
		return err
	}
	days, err := c.wholeNumber("days", whatIfDays, deviceUseDaysMax)
	if err != nil {
		return err
	}
	running := p.Window(c.engine.NowMs()).Day
	asked, err := c.keptDays(p, running-min(days-1, running), running)
	if err != nil {
		return err
	}
	var found *query.WhatIf
	err = c.lookThrough(func(ctx context.Context) (err error) {
		found, err = c.queries.WhatIf(ctx, p, asked.from, asked.to, quota)
		return err
	})
	if err != nil {
		return err
	}
	answer := whatIfAnswer{
		From: calendar.DayName(asked.from), To: calendar.DayName(asked.to), MessagesPerDay: quota,
		Devices: found.Devices, DevicesDenied: found.DevicesDenied, MessagesDenied: found.MessagesDenied,
		Days: make([]whatIfDayAnswer, len(found.Days)), AvailableFrom: asked.availableFrom,
	}
	for i, d := range found.Days {
		answer.Days[i] = whatIfDayAnswer{calendar.DayName(d.Day), d.DevicesDenied, d.MessagesDenied}
	}
	return c.answer(fasthttp.StatusOK, answer)
}
