package history

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/meterd/meterd/event"
)

// seriesID names a series of a product: its kind, and of what was denied, or would have been, the event's type and the
// code.
type seriesID uint32

// The kinds of series, in the order in which they are written.
const (
	kindUp seriesID = iota << 16
	kindDown
	kindOTAAllowance
	kindOTAPacks
	kindVoidAllowance
	kindVoidPacks
	kindLicenses
	kindDenied
	kindWouldDeny
	kindLicensesTotal // from here on gauges
	kindLicensesUsed
	kindLicensesAvailable
	kindDevicesActive
	kindDevicesOnline
)

const kindMask seriesID = ^seriesID(0xffff)

func (k seriesID) of(d *Denied) seriesID { return k | seriesID(d.Type)<<8 | seriesID(d.Code) }

// isGauge reports whether the series rises and falls; the ledger keeps none of these.
func (id seriesID) isGauge() bool { return id&kindMask >= kindLicensesTotal }

// point is a series' value.
type point struct {
	id    seriesID
	value uint64
}

// counters appends the points of what only grows, ascending.
func (u *Usage) counters(dst []point) []point {
	dst = append(dst,
		point{kindUp, u.Up}, point{kindDown, u.Down},
		point{kindOTAAllowance, u.OTAAllowance}, point{kindOTAPacks, u.OTAPacks},
		point{kindVoidAllowance, u.VoidAllowance}, point{kindVoidPacks, u.VoidPacks},
		point{kindLicenses, u.Licenses})
	for i := range u.Denied {
		dst = append(dst, point{kindDenied.of(&u.Denied[i]), u.Denied[i].Count})
	}
	for i := range u.WouldDeny {
		dst = append(dst, point{kindWouldDeny.of(&u.WouldDeny[i]), u.WouldDeny[i].Count})
	}
	return dst
}

// gauges appends the points of what rises and falls, ascending, behind all counters.
func (p *Product) gauges(dst []point) []point {
	return append(dst,
		point{kindLicensesTotal, p.LicensesTotal}, point{kindLicensesUsed, p.LicensesUsed},
		point{kindLicensesAvailable, p.LicensesAvailable},
		point{kindDevicesActive, p.DevicesActive}, point{kindDevicesOnline, p.DevicesOnline})
}

// appendCounters appends those of ascending points that only grow.
func appendCounters(dst, points []point) []point {
	for _, pt := range points {
		if !pt.id.isGauge() {
			dst = append(dst, pt)
		}
	}
	return dst
}

// find returns the value of a series among ascending points.
func find(points []point, id seriesID) (value uint64, found bool) {
	i, found := slices.BinarySearchFunc(points, id, func(p point, id seriesID) int { return cmp.Compare(p.id, id) })
	if !found {
		return 0, false
	}
	return points[i].value, true
}

// appendSample appends a line. Names of accounts and products need no escapes (RULES.md).
func appendSample(dst []byte, p *Product, id seriesID, value uint64, atMs int64) []byte {
	name, labels := series(id)
	dst = append(dst, name...)
	dst = append(dst, `{account="`...)
	dst = append(dst, p.Account...)
	dst = append(dst, `",product="`...)
	dst = append(dst, p.Name...)
	dst = append(dst, '"')
	for i := 0; i < len(labels) && labels[i] != ""; i += 2 {
		dst = append(dst, ',')
		dst = append(dst, labels[i]...)
		dst = append(dst, `="`...)
		dst = append(dst, labels[i+1]...)
		dst = append(dst, '"')
	}
	dst = append(dst, "} "...)
	dst = strconv.AppendUint(dst, value, 10)
	return appendTime(dst, atMs)
}

func appendTime(dst []byte, atMs int64) []byte {
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, atMs, 10)
	return append(dst, '\n')
}

// series returns the name of a series and its labels beside account and product: name, value, name, value.
func series(id seriesID) (name string, labels [4]string) {
	switch id & kindMask {
	case kindUp:
		return "meterd_messages_total", [4]string{"direction", "up", "verdict", "accepted"}
	case kindDown:
		return "meterd_messages_total", [4]string{"direction", "down", "verdict", "accepted"}
	case kindOTAAllowance:
		return "meterd_ota_units_total", [4]string{"source", "allowance"}
	case kindOTAPacks:
		return "meterd_ota_units_total", [4]string{"source", "topup"}
	case kindVoidAllowance:
		return "meterd_ota_units_voided_total", [4]string{"source", "allowance"}
	case kindVoidPacks:
		return "meterd_ota_units_voided_total", [4]string{"source", "topup"}
	case kindLicenses:
		return "meterd_licenses_consumed_total", labels
	case kindLicensesTotal:
		return "meterd_licenses", [4]string{"state", "total"}
	case kindLicensesUsed:
		return "meterd_licenses", [4]string{"state", "used"}
	case kindLicensesAvailable:
		return "meterd_licenses", [4]string{"state", "available"}
	case kindDevicesActive:
		return "meterd_devices", [4]string{"state", "active"}
	case kindDevicesOnline:
		return "meterd_devices", [4]string{"state", "online"}
	}
	t, code := event.Type(id>>8&0xff), event.Code(id&0xff).String()
	if id&kindMask == kindWouldDeny {
		return "meterd_would_deny_total", [4]string{"type", t.String(), "code", code}
	}
	if t == event.Up || t == event.Down {
		return "meterd_messages_total", [4]string{"direction", t.String(), "verdict", code}
	}
	return "meterd_denials_total", [4]string{"type", t.String(), "verdict", code}
}

// filledName is the series that says up to which quarter a store is filled. It has no account: no client sees it.
const filledName = "meterd_history_filled_quarter"

func appendFilled(dst []byte, number uint32, atMs int64) []byte {
	dst = append(dst, filledName+" "...)
	dst = strconv.AppendUint(dst, uint64(number), 10)
	return appendTime(dst, atMs)
}
