package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/query"
)

type topDevicesAnswer struct {
	From          string            `json:"from"`
	To            string            `json:"to"`
	Top           []topDeviceAnswer `json:"top"`
	AvailableFrom *string           `json:"available_from,omitempty"` // the first day that is kept, if from was before it
}

type topDeviceAnswer struct {
	Device   string `json:"device"`
	Up       uint64 `json:"up"`
	Down     uint64 `json:"down"`
	Denied   uint64 `json:"denied"`
	OTAUnits int64  `json:"ota_units"`
}

// What the top devices have most of.
const (
	topMessages = "messages"
	topDenied   = "denied"
	topOTA      = "ota"
)

func topMessagesOf(u *query.DeviceUse) int64 { return int64(u.Up + u.Down) }
func topDeniedOf(u *query.DeviceUse) int64   { return int64(u.Denied) }
func topOTAOf(u *query.DeviceUse) int64      { return u.OTAUnits }

// topDevices answers GET /v1/products/{product}/devices/top?by=: the devices that used most on some days, or were
// denied most.
func (c *call) topDevices() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	by, err := c.choice("by", topMessages, topDenied, topOTA)
	if err != nil {
		return err
	}
	asked, err := c.askedDays(p)
	if err != nil {
		return err
	}
	if asked.to >= asked.from+deviceUseDaysMax {
		return invalid("from", fmt.Sprintf("must be at most %d days before to, itself included", deviceUseDaysMax))
	}
	limit, err := c.wholeNumber("limit", topDefault, topMax)
	if err != nil {
		return err
	}
	q := query.TopQuery{Product: p, From: asked.from, To: asked.to, Limit: int(limit), By: topMessagesOf}
	switch by {
	case topDenied:
		q.By = topDeniedOf
	case topOTA:
		q.By = topOTAOf
	}
	var list []query.DeviceUse
	err = c.lookThrough(func(ctx context.Context) (err error) {
		list, err = c.queries.TopDevices(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	answer := topDevicesAnswer{
		From: calendar.DayName(asked.from), To: calendar.DayName(asked.to), AvailableFrom: asked.availableFrom,
		Top: make([]topDeviceAnswer, len(list)),
	}
	for i, u := range list {
		answer.Top[i] = topDeviceAnswer{u.Device, u.Up, u.Down, u.Denied, u.OTAUnits}
	}
	return c.answer(fasthttp.StatusOK, answer)
}

// lookThrough runs fn, which looks through all devices, of a product or of the daemon, if not too many do, until the
// client has gone.
func (c *call) lookThrough(fn func(context.Context) error) error {
	if !c.lookers.enter(c.token.Name) {
		return &event.Problem{
			Code:   event.Overloaded,
			Detail: "devices are being looked through by too many already; send it again",
		}
	}
	defer c.lookers.leave(c.token.Name)
	ctx, cancel := context.WithTimeout(c.ctx, deviceUseWithin)
	defer cancel()
	go watchClient(ctx, c.ctx.Conn(), cancel)
	err := fn(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return &event.Problem{Code: event.Overloaded, Detail: "it took too long; name fewer days, or send it again later"}
	}
	return err
}

// wholeNumber returns a parameter from 1 to most; without says what holds if the request does not, 0: it must.
func (c *call) wholeNumber(name string, without, most uint32) (uint32, error) {
	text := c.query(name)
	if text == "" && without > 0 {
		return without, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < 1 || n > uint64(most) {
		return 0, invalid(name, fmt.Sprintf("must be a whole number from 1 to %d", most))
	}
	return uint32(n), nil
}
