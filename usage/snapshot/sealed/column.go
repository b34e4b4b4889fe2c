package sealed

import (
	"strconv"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/usage/snapshot"
)

// deviceRow is a row on its way to the files.
type deviceRow struct {
	product              *product
	device               string
	active               bool
	activatedS, expiresS int64
	snapshot.Usage
}

// product is what all rows of a product share.
type product struct {
	name         string
	fromMs, toMs int64  // the period in the product's time zone
	from, to     string // as RFC 3339 has them
	sum          snapshot.Usage
	active       uint64
	known        bool // Source.Products has named it, too
}

// column is a column of a file. In FOCUS, the FinOps open cost and usage specification (1.2), it has the name focus;
// where FOCUS has no such column, its rule for a provider's own ones applies: x_ and Pascal case.
type column[R any] struct {
	name, focus string
	isText      bool // in quotes in JSON; what it appends needs no escape
	append      func(dst []byte, r *R) []byte
}

// deviceColumns are the columns of devices.*, in order (the contract). FOCUS calls what uses a service a resource, and
// a group of resources a sub account.
func deviceColumns() []column[deviceRow] {
	c := []column[deviceRow]{
		{"product", "SubAccountId", true, func(b []byte, r *deviceRow) []byte { return append(b, r.product.name...) }},
		{"device", "ResourceId", true, func(b []byte, r *deviceRow) []byte { return append(b, r.device...) }},
		{"state", "x_State", true, func(b []byte, r *deviceRow) []byte { return append(b, stateName(r.active)...) }},
		{"activated_at", "x_ActivatedAt", true, func(b []byte, r *deviceRow) []byte { return appendTimeS(b, r.activatedS) }},
		{"expires_at", "x_ExpiresAt", true, func(b []byte, r *deviceRow) []byte { return appendTimeS(b, r.expiresS) }},
		{"from", "ChargePeriodStart", true, func(b []byte, r *deviceRow) []byte { return append(b, r.product.from...) }},
		{"to", "ChargePeriodEnd", true, func(b []byte, r *deviceRow) []byte { return append(b, r.product.to...) }},
	}
	return append(c, usageColumns(func(r *deviceRow) *snapshot.Usage { return &r.Usage })...)
}

// productColumns are the columns of products.csv, in order (the contract).
func productColumns() []column[snapshot.ProductRow] {
	type row = snapshot.ProductRow
	number := func(name, focus string, of func(*row) uint64) column[row] {
		return column[row]{name, focus, false, func(b []byte, r *row) []byte { return strconv.AppendUint(b, of(r), 10) }}
	}
	c := []column[row]{
		{"product", "SubAccountId", true, func(b []byte, r *row) []byte { return append(b, r.Product...) }},
		{"account", "BillingAccountId", true, func(b []byte, r *row) []byte { return append(b, r.Account...) }},
		number("devices_active", "x_DevicesActive", func(r *row) uint64 { return r.DevicesActive }),
		number("licenses_total", "x_LicensesTotal", func(r *row) uint64 { return r.Licenses.Total }),
		number("licenses_used", "x_LicensesUsed", func(r *row) uint64 { return r.Licenses.Used }),
		number("licenses_available", "x_LicensesAvailable", func(r *row) uint64 { return r.Licenses.Available }),
		{
			"plan_validity",
			"x_PlanValidity",
			true,
			func(b []byte, r *row) []byte { return append(b, r.Plan.Validity.String()...) },
		},
		{"plan_messages_per_day", "x_PlanMessagesPerDay", false, func(b []byte, r *row) []byte {
			if r.Plan.MessagesPerDay >= event.MessagesPerDayMax { // No limit, which is null in the contract (R10).
				return b
			}
			return strconv.AppendUint(b, uint64(r.Plan.MessagesPerDay), 10)
		}},
		number(
			"plan_message_unit_bytes",
			"x_PlanMessageUnitBytes",
			func(r *row) uint64 { return uint64(r.Plan.MessageUnitBytes) },
		),
		number("plan_ota_per_month", "x_PlanOtaPerMonth", func(r *row) uint64 { return uint64(r.Plan.OTAPerMonth) }),
		number("plan_ota_unit_bytes", "x_PlanOtaUnitBytes", func(r *row) uint64 { return uint64(r.Plan.OTAUnitBytes) }),
		{"plan_log_days", "x_PlanLogDays", false, func(b []byte, r *row) []byte {
			if r.Plan.LogDays == 0 { // Under a day, which is null in the contract (R18).
				return b
			}
			return strconv.AppendUint(b, uint64(r.Plan.LogDays), 10)
		}},
		{"plan_since", "x_PlanSince", true, func(b []byte, r *row) []byte { return appendTimeMs(b, r.PlanSinceMs) }},
	}
	return append(c, usageColumns(func(r *row) *snapshot.Usage { return &r.Usage })...)
}

// usageColumns are the columns that GET /v1/usage has, too.
func usageColumns[R any](of func(*R) *snapshot.Usage) []column[R] {
	unsigned := func(name, focus string, n func(*snapshot.Usage) uint64) column[R] {
		return column[R]{name, focus, false, func(b []byte, r *R) []byte { return strconv.AppendUint(b, n(of(r)), 10) }}
	}
	signed := func(name, focus string, n func(*snapshot.Usage) int64) column[R] {
		return column[R]{name, focus, false, func(b []byte, r *R) []byte { return strconv.AppendInt(b, n(of(r)), 10) }}
	}
	return []column[R]{
		unsigned("messages_up", "x_MessagesUp", func(u *snapshot.Usage) uint64 { return u.MessagesUp }),
		unsigned("messages_down", "x_MessagesDown", func(u *snapshot.Usage) uint64 { return u.MessagesDown }),
		unsigned("messages_denied", "x_MessagesDenied", func(u *snapshot.Usage) uint64 { return u.MessagesDenied }),
		signed("ota_units", "x_OtaUnits", func(u *snapshot.Usage) int64 { return u.OTAUnits }),
		signed("ota_topup_units", "x_OtaTopupUnits", func(u *snapshot.Usage) int64 { return u.OTATopupUnits }),
		unsigned("ota_denied", "x_OtaDenied", func(u *snapshot.Usage) uint64 { return u.OTADenied }),
		unsigned("licenses_consumed", "x_LicensesConsumed", func(u *snapshot.Usage) uint64 { return u.LicensesConsumed }),
	}
}

func stateName(active bool) string {
	if active {
		return "active"
	}
	return "unactivated"
}

// appendTimeS appends Unix seconds as RFC 3339 has them, in UTC.
func appendTimeS(b []byte, s int64) []byte {
	return time.Unix(s, 0).UTC().AppendFormat(b, time.RFC3339)
}

// appendTimeMs appends Unix milliseconds, with decimals where there are any.
func appendTimeMs(b []byte, ms int64) []byte {
	quoted := event.AppendTime(nil, ms)
	return append(b, quoted[1:len(quoted)-1]...)
}
