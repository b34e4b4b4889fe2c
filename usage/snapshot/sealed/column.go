package sealed

import (
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
type column struct {
	name, focus string
	isText      bool // in quotes in JSON; no value needs an escape
}

// deviceColumns are the columns of devices.*, in order (the contract). FOCUS calls what uses a service a resource, and
// a group of resources a sub account.
func deviceColumns() []column {
	return append([]column{
		{"product", "SubAccountId", true},
		{"device", "ResourceId", true},
		{"state", "x_State", true},
		{"activated_at", "x_ActivatedAt", true},
		{"expires_at", "x_ExpiresAt", true},
		{"from", "ChargePeriodStart", true},
		{"to", "ChargePeriodEnd", true},
	}, usageColumns()...)
}

// productColumns are the columns of products.csv, in order (the contract).
func productColumns() []column {
	return append([]column{
		{"product", "SubAccountId", true},
		{"account", "BillingAccountId", true},
		{"devices_active", "x_DevicesActive", false},
		{"licenses_total", "x_LicensesTotal", false},
		{"licenses_used", "x_LicensesUsed", false},
		{"licenses_available", "x_LicensesAvailable", false},
		{"plan_validity", "x_PlanValidity", true},
		{"plan_messages_per_day", "x_PlanMessagesPerDay", false},
		{"plan_message_unit_bytes", "x_PlanMessageUnitBytes", false},
		{"plan_ota_per_month", "x_PlanOtaPerMonth", false},
		{"plan_ota_unit_bytes", "x_PlanOtaUnitBytes", false},
		{"plan_log_days", "x_PlanLogDays", false},
		{"plan_since", "x_PlanSince", true},
	}, usageColumns()...)
}

// usageColumns are the columns that GET /v1/usage has, too; numbers has their values.
func usageColumns() []column {
	return []column{
		{"messages_up", "x_MessagesUp", false},
		{"messages_down", "x_MessagesDown", false},
		{"messages_denied", "x_MessagesDenied", false},
		{"ota_units", "x_OtaUnits", false},
		{"ota_topup_units", "x_OtaTopupUnits", false},
		{"ota_denied", "x_OtaDenied", false},
		{"licenses_consumed", "x_LicensesConsumed", false},
	}
}

func stateName(active bool) string {
	if active {
		return "active"
	}
	return "unactivated"
}

// timeText writes Unix seconds as RFC 3339 has them, in UTC. Most are of the same day as the one before.
type timeText struct {
	day  int64 // when it began
	text []byte
}

func (t *timeText) append(b []byte, s int64) []byte {
	of := s - t.day
	if of < 0 || of >= daySeconds || t.text == nil {
		t.text = time.Unix(s, 0).UTC().AppendFormat(t.text[:0], time.RFC3339)
		of = (s%daySeconds + daySeconds) % daySeconds
		t.day = s - of
		return append(b, t.text...)
	}
	b = append(b, t.text[:len("2006-01-02T")]...)
	digits := func(n int64, behind byte) { b = append(b, byte('0'+n/10), byte('0'+n%10), behind) }
	digits(of/3600, ':')
	digits(of/60%60, ':')
	digits(of%60, 'Z')
	return b
}

const daySeconds = 24 * 60 * 60

// appendTimeMs appends Unix milliseconds, with decimals where there are any.
func appendTimeMs(b []byte, ms int64) []byte {
	quoted := event.AppendTime(nil, ms)
	return append(b, quoted[1:len(quoted)-1]...)
}
