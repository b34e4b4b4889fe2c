package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/query"
)

type deviceAnswer struct {
	Product     string         `json:"product"`
	Device      string         `json:"device"`
	State       string         `json:"state"`
	Online      bool           `json:"online"`
	Holder      *string        `json:"holder"`
	Suspended   bool           `json:"suspended"`
	ActivatedAt instant        `json:"activated_at"`
	ExpiresAt   instant        `json:"expires_at"`
	LastSeenAt  *instant       `json:"last_seen_at"`
	Messages    deviceMessages `json:"messages"`
	OTA         deviceOTA      `json:"ota"`
}

type deviceMessages struct {
	Day      string  `json:"day"`
	Up       uint32  `json:"up"`
	Down     uint32  `json:"down"`
	Denied   uint64  `json:"denied"`
	Limit    *uint32 `json:"limit"` // null: no limit
	ResetsAt instant `json:"resets_at"`
}

type deviceOTA struct {
	Month         string  `json:"month"`
	AllowanceUsed uint32  `json:"allowance_used"`
	TopupUsed     uint32  `json:"topup_used"`
	Denied        uint32  `json:"denied"`
	Limit         uint32  `json:"limit"`
	ResetsAt      instant `json:"resets_at"`
}

// The states of a device.
const (
	stateActive      = "active"
	stateUnactivated = "unactivated"
)

func deviceState(active bool) string {
	if active {
		return stateActive
	}
	return stateUnactivated
}

func showDeviceOf(p *license.Product, d *query.Device) deviceAnswer {
	a := deviceAnswer{
		Product:     p.Name,
		Device:      d.Name,
		State:       deviceState(d.Active),
		Online:      d.Online,
		Holder:      maybe(d.Holder),
		Suspended:   d.Suspended,
		ActivatedAt: instantS(d.ActivatedS),
		ExpiresAt:   instantS(d.ExpiresS),
		LastSeenAt:  maybe(instantS(d.LastSeenS)),
		Messages: deviceMessages{
			Day: calendar.DayName(d.Window.Day), Up: d.Up, Down: d.Down, Denied: d.Denied, ResetsAt: instant(d.Window.DayEndMs),
		},
		OTA: deviceOTA{
			Month: calendar.MonthName(
				d.Window.Month,
			),
			AllowanceUsed: d.OTA.Allowance(),
			TopupUsed:     d.OTA.Packs(),
			Denied:        d.OTA.Denied(),
			Limit:         d.OTAMax,
			ResetsAt:      instant(d.Window.MonthEndMs),
		},
	}
	if d.MessagesMax < event.MessagesPerDayMax {
		a.Messages.Limit = &d.MessagesMax
	}
	return a
}

// showDevice answers GET /v1/products/{product}/devices/{device}.
func (c *call) showDevice() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	name := c.path("device")
	var answer deviceAnswer
	var known bool
	err = c.queries.View(func(v *query.View) {
		p := v.Catalogue.ProductByID(p.ID)
		var d query.Device
		if d, known = v.Device(p, []byte(name)); known {
			answer = showDeviceOf(p, &d)
		}
	})
	switch {
	case err != nil:
		return err
	case !known:
		return neverActive(name)
	}
	return c.answer(fasthttp.StatusOK, answer)
}

func neverActive(device string) error {
	return &event.Problem{
		Code:   event.NotFound,
		Field:  "device",
		Detail: "device: none called " + device + " was ever active",
	}
}

// devicePage gathers a page of devices.
type devicePage struct {
	list   []deviceAnswer
	limit  int
	state  string // "" for any
	online string // "" for any
	from   counters.Ordinal
	full   bool // there is one more, at from
}

// listDevices answers GET /v1/products/{product}/devices in the order in which devices stand in the table. It never
// changes, and devices that are activated meanwhile neither move nor repeat one.
func (c *call) listDevices() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	page := devicePage{list: []deviceAnswer{}}
	if page.limit, err = c.limit(pageDefault); err != nil {
		return err
	}
	if page.state, err = c.choice("state", stateActive, stateUnactivated); err != nil {
		return err
	}
	if page.online, err = c.choice("online", "true", "false"); err != nil {
		return err
	}
	var from uint64
	if _, err = c.cursorNumbers(&from); err != nil {
		return err
	}
	page.from = counters.Ordinal(from)
	for end := false; !end && !page.full; {
		err := c.queries.View(func(v *query.View) {
			p := v.Catalogue.ProductByID(p.ID)
			page.from, end = v.Devices(p, page.from, scanDevices, func(d *query.Device) bool { return page.add(p, d) })
		})
		if err != nil {
			return err
		}
	}
	if !page.full {
		return c.answerPage("devices", page.list, nil)
	}
	return c.answerPage("devices", page.list, cursorOf(uint64(page.from)))
}

// add takes one device and reports whether the page wants more.
func (g *devicePage) add(p *license.Product, d *query.Device) bool {
	if g.state != "" && (g.state == stateActive) != d.Active || g.online != "" && (g.online == "true") != d.Online {
		return true
	}
	if len(g.list) == g.limit {
		g.full = true
		return false
	}
	g.list = append(g.list, showDeviceOf(p, d))
	return true
}
