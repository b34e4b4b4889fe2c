package main_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// check compares all that the daemon says with what was sent and answered. For each device: acknowledged ≤ counted =
// logged ≤ sent, event by event; for each product: licences consumed = devices active = rows of the licence list =
// distinct serials; for each order: credited once. An unanswered request is there whole or not at all. Nobody sends
// meanwhile.
func (tr *traffic) check() {
	tr.d.t.Helper()
	if faults := tr.faults(); len(faults) > 0 {
		more := len(faults) - 20
		tr.d.t.Fatalf("%s\n… and %d more", strings.Join(faults[:min(20, len(faults))], "\n"), max(more, 0))
	}
}

// faults returns what is not as it must be.
func (tr *traffic) faults() []string {
	tr.d.t.Helper()
	c := &check{tr: tr, d: tr.d, seen: map[string]bool{}, logged: map[int]int{}}
	c.resendOrders()
	serials := map[uint64]string{}
	for _, f := range fleets() {
		c.orders(f.product)
		c.product(f, serials)
	}
	c.unlogged()
	tr.count(c)
	return c.faults
}

// check is one comparison.
type check struct {
	tr       *traffic
	d        *daemon
	faults   []string
	seen     map[string]bool // topics that the log has
	logged   map[int]int     // unanswered request → how many of its events the log has
	messages int
}

func (c *check) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// resendOrders sends what was not answered again, and some that were: an order credits once.
func (c *check) resendOrders() {
	c.d.t.Helper()
	for i, key := range sortedKeys(c.tr.orders) {
		o := c.tr.orders[key]
		if o.answered && i%7 > 0 {
			continue
		}
		_, name, _ := strings.Cut(key, " ")
		a, err := c.tr.send(name, o)
		if err != nil {
			c.d.t.Fatal(err)
		}
		switch {
		case o.answered && a.status != 200:
			c.fault("order %s was answered before and is answered %d now: it was lost", key, a.status)
		case a.status/100 != 2:
			c.fault("order %s sent again: %d %s", key, a.status, a.body)
		}
		if !o.answered {
			c.tr.sums.late++
			o.answered = true
		}
	}
}

// orders compares lots and packs with what was ordered. All orders are answered by now.
func (c *check) orders(product string) {
	c.d.t.Helper()
	for _, kind := range []string{"lots", "topups"} {
		ordered := map[string]uint64{}
		for key, o := range c.tr.orders {
			if p, name, _ := strings.Cut(key, " "); p == product && o.kind == kind {
				ordered[name] = o.amount
			}
		}
		for _, lot := range pages[lotView](c.d, "/v1/products/"+product+"/"+kind, kind) {
			if got, want := lot.Quantity+lot.Units, ordered[lot.Order]; got != want {
				c.fault("%s of %s: order %s is of %d, was sent as %d", kind, product, lot.Order, got, want)
			}
			if lot.Used+lot.Available != lot.Quantity+lot.Units {
				c.fault("%s of %s: %+v does not add up", kind, product, lot)
			}
			delete(ordered, lot.Order)
		}
		for name := range ordered {
			c.fault("%s of %s: order %s was answered and is lost", kind, product, name)
		}
	}
}

// product compares a product's numbers with its devices.
func (c *check) product(f fleet, serials map[uint64]string) {
	c.d.t.Helper()
	var account accountView
	c.d.must("GET", "/v1/accounts/"+f.product, "", &account)
	v := c.d.product(f.product)
	licenses := pages[licenseView](c.d, "/v1/products/"+f.product+"/licenses", "licenses")
	active := map[string]bool{}
	online := 0
	for _, dev := range pages[deviceView](c.d, "/v1/products/"+f.product+"/devices", "devices") {
		active[dev.Device] = dev.State == "active"
		if dev.Online {
			online++
		}
	}
	owners := map[string]bool{}
	for _, l := range licenses {
		if other, twice := serials[l.Serial]; twice {
			c.fault("serial %d belongs to %s and to %s/%s", l.Serial, other, f.product, l.Device)
		}
		serials[l.Serial] = f.product + "/" + l.Device
		if owners[l.Device] || !active[l.Device] {
			c.fault("%s/%s has two licences, or is not active although it has one", f.product, l.Device)
		}
		owners[l.Device] = true
	}
	if n := len(licenses); int(v.Licenses.Used) != n || v.Devices.Active != n || len(active) != n {
		c.fault(
			"%s: %d licences used, %d devices active, %d listed, %d rows",
			f.product,
			v.Licenses.Used,
			v.Devices.Active,
			len(active),
			n,
		)
	}
	if v.Licenses.Used+v.Licenses.Available != v.Licenses.Total || account.Licenses.Used != v.Licenses.Used ||
		account.Licenses.Available != v.Licenses.Available+account.Licenses.Gift.Available {
		c.fault("%s does not add up: %+v, account %+v", f.product, v.Licenses, account.Licenses)
	}
	if v.Devices.Online != online {
		c.fault("%s: %d online by the product, %d by its devices", f.product, v.Devices.Online, online)
	}
	var packs uint64
	for i := range f.devices {
		packs += c.device(f, fmt.Sprintf("d%d", i), active)
	}
	if v.Topups.OTA.Used != packs || v.Topups.OTA.Used+v.Topups.OTA.Available != v.Topups.OTA.Total {
		c.fault("%s: %+v pack units, the devices used %d", f.product, v.Topups.OTA, packs)
	}
}

// tally is what a log says of a device.
type tally struct {
	up, down, denied, otaUnits, otaDenied uint64
	connected                             bool
	used                                  []usedAt // after each accepted message
}

type usedAt struct {
	used uint64
	at   time.Time
}

// contiguous says at which message the day's use has a hole, "" for none. A log ends by the clock, message by message.
// Times rise from group to group, but within one a message may have an earlier time than one that was counted before
// it: its request took the time first and counted last. So it may be over while the other one is still there, and what
// stands behind a hole is of the same group: no longer certainly readable.
func contiguous(list []usedAt, counted uint64, readable time.Duration) string {
	slices.SortFunc(list, func(a, b usedAt) int { return cmp.Compare(b.used, a.used) })
	for i, m := range list {
		if m.used != counted-uint64(i) && time.Since(m.at) < readable {
			return fmt.Sprintf("%d messages are counted, and entry %d from the end of the log is the %d. of the day, at "+
				"%v; it is %v", counted, i, m.used, m.at, time.Now())
		}
	}
	return ""
}

// device compares a device's view with its log, and the log with what was sent; it returns the pack units used.
func (c *check) device(f fleet, device string, active map[string]bool) (packs uint64) {
	c.d.t.Helper()
	var t tally
	for _, e := range c.d.logs(f.product, device) {
		c.entry(f.product, device, &e, &t)
	}
	a := c.d.ask("GET", "/v1/products/"+f.product+"/devices/"+device, "")
	if a.status == 404 && !active[device] {
		if t.connected || len(t.used) > 0 {
			c.fault("%s/%s is unknown, its log says it connected", f.product, device)
		}
		return 0
	}
	var v deviceView
	a.into(c.d.t, &v)
	counted := v.Messages.Up + v.Messages.Down
	if hole := contiguous(t.used, counted, c.tr.readable); hole != "" {
		c.fault("%s/%s: %s", f.product, device, hole)
	}
	if c.tr.readable >= time.Hour &&
		(v.Messages.Up != t.up || v.Messages.Down != t.down || v.Messages.Denied != t.denied ||
			v.OTA.AllowanceUsed+v.OTA.TopupUsed != t.otaUnits || v.OTA.Denied != t.otaDenied) {
		c.fault("%s/%s: the view counts %+v %+v, the log %+v", f.product, device, v.Messages, v.OTA, t)
	}
	if limit := v.Messages.Limit; limit != nil && counted > *limit || v.OTA.AllowanceUsed > v.OTA.Limit {
		c.fault("%s/%s is over its quota: %+v %+v", f.product, device, v.Messages, v.OTA)
	}
	c.messages += int(counted)
	return v.OTA.TopupUsed
}

// entry compares one log entry with what was sent.
func (c *check) entry(product, device string, e *logView, t *tally) {
	if e.Topic == nil || c.tr.events[*e.Topic] == nil {
		c.fault("%s/%s: the log has an event that nobody sent: %+v", product, device, e)
		return
	}
	sent := c.tr.events[*e.Topic]
	switch {
	case c.seen[*e.Topic]:
		c.fault("event %s is in the log twice", *e.Topic)
	case sent.product != product || sent.device != device || sent.typ != e.Type || sent.size != e.Size:
		c.fault("event %s is not as it was sent: %+v, %+v", *e.Topic, sent, e)
	case sent.code == turnedAway:
		c.fault("event %s was refused and is in the log", *e.Topic)
	case sent.code == unanswered:
		c.logged[sent.request]++
	case sent.code != e.Verdict:
		c.fault("event %s was answered %s and is logged as %s", *e.Topic, sent.code, e.Verdict)
	}
	c.seen[*e.Topic] = true
	switch e.Type + " " + e.Verdict {
	case "up accepted":
		t.up++
		t.used = append(t.used, usedAt{e.DayUsed, e.DecidedAt})
	case "down accepted":
		t.down++
		t.used = append(t.used, usedAt{e.DayUsed, e.DecidedAt})
	case "up message_quota_exceeded", "down message_quota_exceeded":
		t.denied++
	case "ota accepted":
		t.otaUnits += uint64((e.Size + 5<<20 - 1) / (5 << 20))
	case "ota ota_quota_exceeded":
		t.otaDenied++
	case "connect accepted":
		t.connected = true
	}
}

// unlogged looks for what was answered and is not in the log, and for requests that are there in part.
func (c *check) unlogged() {
	oldest := time.Now().Add(-c.tr.readable)
	open := map[int]int{}
	aged := map[int]bool{}
	for topic, e := range c.tr.events {
		if e.sentAt.Before(oldest) {
			aged[e.request] = true
			continue
		}
		switch {
		case e.code == unanswered:
			open[e.request]++
		case e.code != turnedAway && !c.seen[topic]:
			c.fault("event %s, %s of %s/%s, was answered %s and is lost", topic, e.typ, e.product, e.device, e.code)
		}
	}
	c.tr.sums.lateRequests = 0
	for request, events := range open {
		got := c.logged[request]
		if got > 0 {
			c.tr.sums.lateRequests++
		}
		if got != 0 && got != events && !aged[request] {
			c.fault("of the %d events of an unanswered request %d are there: it was cut", events, got)
		}
	}
}

// count makes the figures of the report.
func (tr *traffic) count(c *check) {
	s := sums{
		checks:       tr.sums.checks + 1,
		late:         tr.sums.late,
		lateRequests: tr.sums.lateRequests,
		counted:      c.messages,
		orders:       len(tr.orders),
	}
	for _, e := range tr.events {
		s.sent++
		switch e.code {
		case unanswered:
			s.unanswered++
		case turnedAway:
			s.refused++
		case "accepted":
			s.acknowledged++
		default:
			s.denied++
		}
	}
	tr.sums = s
}
