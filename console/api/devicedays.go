package api

import (
	"bufio"
	"context"
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

type deviceDayAnswer struct {
	Day      string `json:"day"`
	Up       uint32 `json:"up"`
	Down     uint32 `json:"down"`
	Denied   uint64 `json:"denied"`
	OTAUnits int64  `json:"ota_units"`
}

type deviceDaysAnswer struct {
	Rows          []deviceDayAnswer `json:"rows"`
	AvailableFrom *string           `json:"available_from,omitempty"` // the first day that is kept, if from was before it
}

// showDeviceDays answers GET /v1/products/{product}/devices/{device}/usage: what a device used day by day, days without
// use left out. from and to are days of the product's calendar, both included.
func (c *call) showDeviceDays() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	asked, err := c.askedDays(p)
	if err != nil {
		return err
	}
	answer := deviceDaysAnswer{Rows: []deviceDayAnswer{}, AvailableFrom: asked.availableFrom}
	name := c.path("device")
	days, isKnown, err := c.queries.DeviceDays(p, []byte(name), asked.from, asked.to)
	switch {
	case err != nil:
		return err
	case !isKnown:
		return neverActive(name)
	}
	for _, d := range days {
		answer.Rows = append(answer.Rows, deviceDayAnswer{calendar.DayName(d.Day), d.Up, d.Down, d.Denied, d.OTAUnits})
	}
	return c.answer(fasthttp.StatusOK, answer)
}

// orDevice answers GET /v1/products/{product}/devices/NAME: with a parameter it is a call about all devices, without it
// the path is that of a device, since one may have that name.
func (h *Handler) orDevice(name, parameter string, answer func(*call) error) fasthttp.RequestHandler {
	all, device := h.guard(access.RightUsage, answer), h.guard(access.RightRead, (*call).showDevice)
	return func(ctx *fasthttp.RequestCtx) {
		if ctx.QueryArgs().Has(parameter) {
			all(ctx)
			return
		}
		ctx.SetUserValue("device", name)
		device(ctx)
	}
}

// listDeviceDays answers GET /v1/products/{product}/devices/usage?month=: what every device of a product used day by
// day in a month of its calendar, the running one if month is empty: a line a device and day, devices in the order in
// which they stand in the table.
func (c *call) listDeviceDays() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	running := p.Window(c.engine.NowMs())
	month := running.Month
	if text := c.query("month"); text != "" {
		var ok bool
		if month, ok = calendar.ParseMonth(text); !ok {
			return invalid("month", "must be a month such as 2026-11, from 2020-01 on")
		}
	}
	kept, err := c.queries.UsageDayKept(p)
	if err != nil {
		return err
	}
	s := &deviceDaysStream{pieces: pieces{conn: c.ctx.Conn()}, h: c.Handler, product: p}
	s.from, s.to = calendar.FirstDay(month), min(calendar.FirstDay(month+1)-1, running.Day)
	if s.from < kept {
		s.from = kept
		c.ctx.Response.Header.Set(headerAvailableFrom, calendar.DayName(kept))
	}
	c.ctx.SetContentType(mediaNDJSON)
	if s.isCSV = c.preferred(mediaNDJSON, mediaCSV) == mediaCSV; s.isCSV {
		c.ctx.SetContentType(contentCSV)
	}
	if c.ctx.IsHead() {
		return nil
	}
	return c.streamDeviceDays(s)
}

// streamDeviceDays sends the answer while it is made.
func (c *call) streamDeviceDays(s *deviceDaysStream) error {
	if !c.usages.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "usage is being read by too many already; send it again"}
	}
	leave := func() { c.usages.leave(c.token.Name) }
	if err := c.engine.DurableInLedger(); err != nil { // Behind the status an error can only cut the answer off.
		leave()
		return err
	}
	c.stream(&s.pieces, usageStreamWithin, leave, s.run)
	return nil
}

// deviceDaysStream makes the answer of listDeviceDays.
type deviceDaysStream struct {
	pieces
	h        *Handler
	product  *license.Product
	from, to uint32
	isCSV    bool
	lines    []byte
}

// run writes the whole answer. A status was sent already: on an error the connection is closed, which the client sees
// as an answer that is not whole.
func (s *deviceDaysStream) run(ctx context.Context, w *bufio.Writer) {
	if s.isCSV {
		s.lines = append(s.lines, "device,day,up,down,denied,ota_units\n"...)
	}
	err := s.h.queries.EachDeviceDay(ctx, s.product, s.from, s.to, func(device string, days []query.DeviceDay) error {
		for i := range days {
			s.line(device, &days[i])
		}
		if len(s.lines) < deviceDaysBytes {
			return nil
		}
		err := s.write(ctx, w, s.lines)
		s.lines = s.lines[:0]
		return err
	})
	if err == nil {
		err = s.write(ctx, w, s.lines)
	}
	if err == nil {
		return
	}
	_ = s.conn.Close() // What it fails with says nothing.
	if !s.isGone && !errors.Is(err, shard.ErrStopped) && ctx.Err() == nil {
		s.h.logger.Error("usage of devices could not be sent to its end", "product", s.product.Name, "error", err)
	}
}

// line appends a line. Names need no escapes: they are of A-Z a-z 0-9 . _ : - alone.
func (s *deviceDaysStream) line(device string, d *query.DeviceDay) {
	numbers := [...]int64{int64(d.Up), int64(d.Down), int64(d.Denied), d.OTAUnits}
	day := calendar.DayName(d.Day)
	if s.isCSV {
		s.lines = append(append(append(s.lines, device...), ','), day...)
		for _, n := range numbers {
			s.lines = strconv.AppendInt(append(s.lines, ','), n, 10)
		}
		s.lines = append(s.lines, '\n')
		return
	}
	s.lines = append(append(s.lines, `{"device":"`...), device...)
	s.lines = append(append(append(s.lines, `","day":"`...), day...), '"')
	for i, name := range [...]string{"up", "down", "denied", "ota_units"} {
		s.lines = append(append(append(s.lines, `,"`...), name...), `":`...)
		s.lines = strconv.AppendInt(s.lines, numbers[i], 10)
	}
	s.lines = append(s.lines, "}\n"...)
}
