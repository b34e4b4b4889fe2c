package api

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// forecastWeeksDefault and forecastWeeksMax bound how far a forecast looks.
const forecastWeeksDefault, forecastWeeksMax = 26, 260

type forecastAnswer struct {
	Weeks         []forecastWeek `json:"weeks"`
	RunsDryAt     *instant       `json:"runs_dry_at"`
	DevicesAtRisk uint64         `json:"devices_at_risk"`
}

type forecastWeek struct {
	From           instant `json:"from"`
	To             instant `json:"to"`
	Renewals       uint64  `json:"renewals"`
	Activations    uint64  `json:"activations"`
	Needed         uint64  `json:"needed"`
	AvailableAfter int64   `json:"available_after"`
}

// showForecast answers GET /v1/products/{product}/forecast?weeks=26: how long the product's licences last. What is
// missing in a week makes available_after negative.
func (c *call) showForecast() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	weeks := forecastWeeksDefault
	if text := c.query("weeks"); text != "" {
		if weeks, err = strconv.Atoi(text); err != nil || weeks < 1 || weeks > forecastWeeksMax {
			return invalid("weeks", fmt.Sprintf("must be a whole number from 1 to %d", forecastWeeksMax))
		}
	}
	f, err := c.queries.Forecast(p, weeks)
	if err != nil {
		return err
	}
	answer := forecastAnswer{Weeks: make([]forecastWeek, len(f.Weeks)), DevicesAtRisk: f.DevicesAtRisk}
	for i, w := range f.Weeks {
		answer.Weeks[i] = forecastWeek{
			From: instantS(w.FromS), To: instantS(w.ToS), Renewals: w.Renewals, Activations: w.Activations,
			Needed: w.Renewals + w.Activations, AvailableAfter: w.AvailableAfter,
		}
	}
	if f.RunsDryS != 0 {
		at := instantS(f.RunsDryS)
		answer.RunsDryAt = &at
	}
	return c.answer(fasthttp.StatusOK, answer)
}
