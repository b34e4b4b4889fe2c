package license

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// Plan is what a product's licences grant each device.
type Plan struct {
	Validity         calendar.Period
	MessagesPerDay   uint32 // units; event.MessagesPerDayMax is "no limit" (R10)
	MessageUnitBytes uint32 // 0: every message counts as one (R13)
	OTAPerMonth      uint32 // units (R15)
	OTAUnitBytes     int64
	LogDays          uint32 // 0: the retention, which is under a day (R18)
}

// Bounds of a plan's values.
const (
	messageUnitBytesMin = 64
	messageUnitBytesMax = 262_144
	otaPerMonthMax      = 1000
	otaUnitBytesMin     = 1 << 10
	otaUnitBytesMax     = 1 << 40
	logDaysDefault      = 7
)

// DefaultPlan returns the plan of a product that names none, on a daemon that keeps the raw log for retention.
func DefaultPlan(retention time.Duration) Plan {
	return Plan{
		Validity:       calendar.Period{Years: 5},
		MessagesPerDay: 1500,
		OTAPerMonth:    1,
		OTAUnitBytes:   5 << 20,
		LogDays:        min(logDaysDefault, logDaysMax(retention)),
	}
}

func logDaysMax(retention time.Duration) uint32 { return uint32(retention / (24 * time.Hour)) }

// MessageUnits returns how many units a message of size bytes counts (R13). The result fits: size < 2^31.
func (p *Plan) MessageUnits(size int64) uint32 {
	if p.MessageUnitBytes == 0 || size <= int64(p.MessageUnitBytes) {
		return 1
	}
	unit := int64(p.MessageUnitBytes)
	return uint32((size + unit - 1) / unit)
}

// OTAUnits returns how many units a firmware package of size bytes counts (R15); at least one, at most 2^30.
func (p *Plan) OTAUnits(size int64) uint32 {
	if size <= p.OTAUnitBytes {
		return 1
	}
	return uint32((size + p.OTAUnitBytes - 1) / p.OTAUnitBytes)
}

// LogCutoffMs returns the instant before which the device log of the product can no longer be read (R18).
func (p *Plan) LogCutoffMs(nowMs int64, retention time.Duration) int64 {
	keep := retention
	if p.LogDays > 0 {
		keep = min(retention, time.Duration(p.LogDays)*24*time.Hour)
	}
	return nowMs - keep.Milliseconds()
}

// Downgrade returns the names of the values that next lowers, none if it is an upgrade or equal (R9).
func (p *Plan) Downgrade(next *Plan) []string {
	var lowered []string
	check := func(name string, lower bool) {
		if lower {
			lowered = append(lowered, name)
		}
	}
	// No unit at all counts each message as one, which is more than any unit gives.
	unit := func(n uint32) uint32 {
		if n == 0 {
			return messageUnitBytesMax + 1
		}
		return n
	}
	check("validity", next.Validity.Compare(p.Validity) < 0)
	check("messages_per_day", next.MessagesPerDay < p.MessagesPerDay)
	check("message_unit_bytes", unit(next.MessageUnitBytes) < unit(p.MessageUnitBytes))
	check("ota_per_month", next.OTAPerMonth < p.OTAPerMonth)
	check("ota_unit_bytes", next.OTAUnitBytes < p.OTAUnitBytes)
	check("log_days", next.LogDays < p.LogDays)
	return lowered
}

// planJSON is a plan as the contract shows it, and as it is stored.
type planJSON struct {
	Validity         calendar.Period `json:"validity"`
	MessagesPerDay   *uint32         `json:"messages_per_day"`
	MessageUnitBytes uint32          `json:"message_unit_bytes"`
	OTAPerMonth      uint32          `json:"ota_per_month"`
	OTAUnitBytes     int64           `json:"ota_unit_bytes"`
	LogDays          *uint32         `json:"log_days"`
}

// MarshalJSON shows the plan as the contract has it: null for no limit, and for log days under one day.
func (p Plan) MarshalJSON() ([]byte, error) {
	j := planJSON{
		Validity: p.Validity, MessageUnitBytes: p.MessageUnitBytes,
		OTAPerMonth: p.OTAPerMonth, OTAUnitBytes: p.OTAUnitBytes,
	}
	if p.MessagesPerDay < event.MessagesPerDayMax {
		j.MessagesPerDay = &p.MessagesPerDay
	}
	if p.LogDays > 0 {
		j.LogDays = &p.LogDays
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. Requests are read by PlanPatch, which checks them.
func (p *Plan) UnmarshalJSON(b []byte) error {
	var j planJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*p = Plan{
		Validity: j.Validity, MessagesPerDay: event.MessagesPerDayMax, MessageUnitBytes: j.MessageUnitBytes,
		OTAPerMonth: j.OTAPerMonth, OTAUnitBytes: j.OTAUnitBytes,
	}
	if j.MessagesPerDay != nil {
		p.MessagesPerDay = *j.MessagesPerDay
	}
	if j.LogDays != nil {
		p.LogDays = *j.LogDays
	}
	return nil
}

// PlanPatch is a plan in a request: what is left out stays as it is.
type PlanPatch struct {
	fields map[string]json.RawMessage
}

// UnmarshalJSON reads an object; its values are checked by Apply.
func (p *PlanPatch) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	notObject := &event.Problem{Code: event.InvalidArgument, Field: "plan", Detail: "plan: must be an object"}
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return notObject
	}
	p.fields = map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return notObject
		}
		key, _ := name.(string)
		if _, twice := p.fields[key]; twice {
			return invalid("plan."+key, "is given twice")
		}
		p.fields[key] = value
	}
	return nil
}

// Apply returns base with the patch's values, or a *event.Problem that names the first bad field. base is not changed.
func (p *PlanPatch) Apply(base Plan, retention time.Duration) (Plan, error) {
	plan := base
	for _, name := range sortedKeys(p.fields) {
		read, ok := planReaders[name]
		if !ok {
			return Plan{}, &event.Problem{
				Code:   event.UnknownField,
				Field:  "plan." + name,
				Detail: "plan." + name + ": is not a field of a plan",
			}
		}
		if err := read(&plan, p.fields[name], retention); err != nil {
			return Plan{}, &event.Problem{
				Code:   event.InvalidArgument,
				Field:  "plan." + name,
				Detail: fmt.Sprintf("plan.%s: %s", name, err),
			}
		}
	}
	return plan, nil
}

type planReader func(p *Plan, raw json.RawMessage, retention time.Duration) error

var planReaders = map[string]planReader{
	"validity": func(p *Plan, raw json.RawMessage, _ time.Duration) error {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return calendar.ErrPeriod
		}
		v, err := calendar.ParsePeriod(s)
		p.Validity = v
		return err
	},
	"messages_per_day": func(p *Plan, raw json.RawMessage, _ time.Duration) error {
		if isNull(raw) {
			p.MessagesPerDay = event.MessagesPerDayMax
			return nil
		}
		n, err := readNumber(raw, 1, event.MessagesPerDayMax, " or null")
		p.MessagesPerDay = uint32(n)
		return err
	},
	"message_unit_bytes": func(p *Plan, raw json.RawMessage, _ time.Duration) error {
		n, err := readNumber(raw, 0, messageUnitBytesMax, "")
		if err != nil || (n > 0 && n < messageUnitBytesMin) {
			return fmt.Errorf("must be 0, or %d to %d", messageUnitBytesMin, messageUnitBytesMax)
		}
		p.MessageUnitBytes = uint32(n)
		return nil
	},
	"ota_per_month": func(p *Plan, raw json.RawMessage, _ time.Duration) error {
		n, err := readNumber(raw, 0, otaPerMonthMax, "")
		p.OTAPerMonth = uint32(n)
		return err
	},
	"ota_unit_bytes": func(p *Plan, raw json.RawMessage, _ time.Duration) error {
		n, err := readNumber(raw, otaUnitBytesMin, otaUnitBytesMax, "")
		p.OTAUnitBytes = n
		return err
	},
	"log_days": func(p *Plan, raw json.RawMessage, retention time.Duration) error {
		most := logDaysMax(retention)
		if isNull(raw) && most == 0 {
			p.LogDays = 0
			return nil
		}
		if most == 0 {
			return errors.New("must be left out or null: this daemon keeps the log for less than a day")
		}
		n, err := readNumber(raw, 1, int64(most), ", the days that this daemon keeps the log")
		p.LogDays = uint32(n)
		return err
	},
}

func isNull(raw json.RawMessage) bool { return strings.TrimSpace(string(raw)) == "null" }

// readNumber reads a whole number between low and high, however it is written: 1000, 1000.0, 1e3.
func readNumber(raw json.RawMessage, low, high int64, more string) (int64, error) {
	n, ok := event.ParseWhole(raw, uint64(high))
	if !ok || int64(n) < low {
		return 0, fmt.Errorf("must be a whole number from %d to %d%s", low, high, more)
	}
	return int64(n), nil
}
