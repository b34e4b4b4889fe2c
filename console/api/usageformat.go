package api

import (
	"strconv"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/query"
)

// usageColumns are the names of what a row of usage counts, in the order of usageNumbers.
var usageColumns = [...]string{
	"messages_up", "messages_down", "messages_denied", "ota_units", "ota_topup_units", "ota_denied", "licenses_consumed",
}

func usageNumbers(r *query.UsageRow) [len(usageColumns)]int64 {
	return [...]int64{
		int64(r.MessagesUp), int64(r.MessagesDown), int64(r.MessagesDenied), r.OTAUnits, r.OTATopupUnits,
		int64(r.OTADenied), int64(r.LicensesConsumed),
	}
}

// usageFormat writes rows of usage as JSON or as CSV. Names need no escapes: they are of A-Z a-z 0-9 . _ : - alone.
type usageFormat struct {
	isCSV bool
	rows  int
	times map[int64][]byte // quoted; all products have the same windows
}

func newUsageFormat(isCSV bool) *usageFormat {
	return &usageFormat{isCSV: isCSV, times: map[int64][]byte{}}
}

func (f *usageFormat) begin(dst []byte) []byte {
	if !f.isCSV {
		return append(dst, `{"rows":[`...)
	}
	dst = append(dst, "from,to,product"...)
	for _, column := range usageColumns {
		dst = append(append(dst, ','), column...)
	}
	return append(dst, ",partial\n"...)
}

func (f *usageFormat) end(dst []byte, availableFromMs int64) []byte {
	if f.isCSV {
		return dst
	}
	dst = append(dst, ']')
	if availableFromMs > 0 {
		dst = append(append(dst, `,"available_from":`...), f.time(availableFromMs)...)
	}
	return append(dst, '}')
}

// time returns an instant in quotes.
func (f *usageFormat) time(ms int64) []byte {
	text := f.times[ms]
	if text == nil {
		text = event.AppendTime(nil, ms)
		f.times[ms] = text
	}
	return text
}

func (f *usageFormat) row(dst []byte, r *query.UsageRow) []byte {
	if f.isCSV {
		return f.lineOf(dst, r)
	}
	if f.rows++; f.rows > 1 {
		dst = append(dst, ',')
	}
	dst = append(append(dst, `{"from":`...), f.time(r.FromMs)...)
	dst = append(append(dst, `,"to":`...), f.time(r.ToMs)...)
	dst = append(append(dst, `,"product":"`...), r.Product.Name...)
	dst = append(dst, '"')
	for i, n := range usageNumbers(r) {
		dst = append(append(append(dst, `,"`...), usageColumns[i]...), `":`...)
		dst = strconv.AppendInt(dst, n, 10)
	}
	if r.Running {
		dst = append(dst, `,"partial":true`...)
	}
	return append(dst, '}')
}

func (f *usageFormat) lineOf(dst []byte, r *query.UsageRow) []byte {
	unquoted := func(text []byte) []byte { return text[1 : len(text)-1] }
	dst = append(append(dst, unquoted(f.time(r.FromMs))...), ',')
	dst = append(append(dst, unquoted(f.time(r.ToMs))...), ',')
	dst = append(dst, r.Product.Name...)
	for _, n := range usageNumbers(r) {
		dst = strconv.AppendInt(append(dst, ','), n, 10)
	}
	return append(strconv.AppendBool(append(dst, ','), r.Running), '\n')
}
