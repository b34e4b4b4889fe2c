package sealed

import (
	"strconv"
	"strings"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/usage/snapshot"
)

// appendHeader appends the first line of a CSV.
func appendHeader(dst []byte, columns []column, focus bool) []byte {
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		if focus {
			dst = append(dst, c.focus...)
		} else {
			dst = append(dst, c.name...)
		}
	}
	return append(dst, '\n')
}

// heads are what stands before each value of a line, and, last, what stands behind all of them.
type heads []string

// csvHeads are those of a CSV (RFC 4180, but lines end as in Unix). No value needs quotes: names have neither commas
// nor quotes, and the rest are times, numbers and words.
func csvHeads(columns []column) heads {
	h := heads{""}
	for range columns[1:] {
		h = append(h, ",")
	}
	return append(h, "\n")
}

// jsonHeads are those of NDJSON: every column is a member, in order.
func jsonHeads(columns []column) (h heads) {
	before := "{"
	for _, c := range columns {
		quote := ""
		if c.isText {
			quote = `"`
		}
		h = append(h, before+`"`+c.name+`":`+quote)
		before = quote + ","
	}
	return append(h, strings.TrimSuffix(before, ",")+"}\n")
}

// deviceText writes lines of devices.
type deviceText struct {
	heads              heads
	activated, expires timeText
}

// append appends a line with the values of deviceColumns.
func (t *deviceText) append(b []byte, r *deviceRow) []byte {
	h := t.heads
	b = append(append(b, h[0]...), r.product.name...)
	b = append(append(b, h[1]...), r.device...)
	b = append(append(b, h[2]...), stateName(r.active)...)
	b = t.activated.append(append(b, h[3]...), r.activatedS)
	b = t.expires.append(append(b, h[4]...), r.expiresS)
	b = append(append(b, h[5]...), r.product.from...)
	b = append(append(b, h[6]...), r.product.to...)
	return appendUsage(b, h[7:], &r.Usage)
}

// appendProduct appends a line with the values of productColumns. A value that is null in the contract is empty.
func appendProduct(b []byte, h heads, r *snapshot.ProductRow) []byte {
	b = append(append(b, h[0]...), r.Product...)
	b = append(append(b, h[1]...), r.Account...)
	b = appendNumber(append(b, h[2]...), int64(r.DevicesActive))
	b = appendNumber(append(b, h[3]...), int64(r.Licenses.Total))
	b = appendNumber(append(b, h[4]...), int64(r.Licenses.Used))
	b = appendNumber(append(b, h[5]...), int64(r.Licenses.Available))
	b = append(append(b, h[6]...), r.Plan.Validity.String()...)
	if b = append(b, h[7]...); r.Plan.MessagesPerDay < event.MessagesPerDayMax { // Else there is no limit (R10).
		b = appendNumber(b, int64(r.Plan.MessagesPerDay))
	}
	b = appendNumber(append(b, h[8]...), int64(r.Plan.MessageUnitBytes))
	b = appendNumber(append(b, h[9]...), int64(r.Plan.OTAPerMonth))
	b = appendNumber(append(b, h[10]...), r.Plan.OTAUnitBytes)
	if b = append(b, h[11]...); r.Plan.LogDays > 0 { // Else it is under a day (R18).
		b = appendNumber(b, int64(r.Plan.LogDays))
	}
	b = appendTimeMs(append(b, h[12]...), r.PlanSinceMs)
	return appendUsage(b, h[13:], &r.Usage)
}

// appendUsage appends the values of usageColumns and the end of the line.
func appendUsage(b []byte, h heads, u *snapshot.Usage) []byte {
	for i, n := range numbers(u) {
		b = appendNumber(append(b, h[i]...), n)
	}
	return append(b, h[len(h)-1]...)
}

// appendNumber appends a number, most of which have one digit.
func appendNumber(b []byte, n int64) []byte {
	if n >= 0 && n < 10 {
		return append(b, byte('0'+n))
	}
	return strconv.AppendInt(b, n, 10)
}
