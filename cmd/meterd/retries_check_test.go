package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// witness holds every answer that the daemon gave in full against the first one to its sequence.
type witness struct {
	mu       sync.Mutex
	first    map[string]string // producer and sequence → what was answered
	decided  map[string]bool   // … whether an answer was seen that is no replay
	answers  int
	replayed int
	tooOld   int // stray copies that came when their sequence was forgotten
	faults   []string
}

func newWitness() *witness { return &witness{first: map[string]string{}, decided: map[string]bool{}} }

// signature is all of an answer that must be the same whenever it is given: status, header and body. Only Date, of the
// message and not of the answer, and what says that it is a replay may differ.
func (a answer) signature() string {
	h := a.header.Clone()
	for _, name := range []string{"Date", "Connection", "Meterd-Replayed"} {
		h.Del(name)
	}
	var b strings.Builder
	fmt.Fprintln(&b, a.status)
	_ = h.Write(&b) // Sorted; a Builder never fails.
	b.Write(a.body)
	return b.String()
}

// see compares an answer. Requests that were refused for the moment are not remembered.
func (w *witness) see(req *http.Request, a answer, isStray bool) {
	if a.status == http.StatusServiceUnavailable {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if isStray && a.status == http.StatusConflict && strings.Contains(string(a.body), `"code":"sequence_too_old"`) {
		w.tooOld++
		return
	}
	w.answers++
	key := req.Header.Get("Meterd-Producer") + " " + req.Header.Get("Meterd-Sequence")
	signature := a.signature()
	if first, seen := w.first[key]; !seen {
		w.first[key] = signature
	} else if first != signature {
		w.faults = append(w.faults, fmt.Sprintf("%s was answered\n%s\nand then\n%s", key, first, signature))
	}
	switch replayed := a.header.Get("Meterd-Replayed"); {
	case replayed == "true":
		w.replayed++
	case replayed != "":
		w.faults = append(w.faults, fmt.Sprintf("%s: Meterd-Replayed is %q", key, replayed))
	case w.decided[key]:
		w.faults = append(w.faults, key+" was decided twice")
	default:
		w.decided[key] = true
	}
}

// account is what became of a device, by its gateways' answers, by its log or by its view.
type account struct {
	up, down, denied, otaUnits, otaDenied uint64
	connected                             bool
	entries                               int // of the log
}

// accountant adds up verdicts about a device.
type accountant struct {
	account
	upgraded map[string]int64 // OTAs that were accepted, by id: their sizes
	voided   map[string]bool
}

func newAccountant() *accountant {
	return &accountant{upgraded: map[string]int64{}, voided: map[string]bool{}}
}

func (t *accountant) add(e *countedEvent, verdict string) {
	switch verdict {
	case "unknown_product", "invalid_event":
		return // They are in no log.
	}
	t.entries++
	switch e.typ + " " + verdict {
	case "up accepted":
		t.up++
	case "down accepted":
		t.down++
	case "up message_quota_exceeded", "down message_quota_exceeded":
		t.denied++
	case "ota accepted":
		t.upgraded[e.id] = e.size
	case "ota_void accepted":
		t.voided[e.id] = true
	case "ota ota_quota_exceeded":
		t.otaDenied++
	case "connect accepted":
		t.connected = true
	}
}

// sum returns the account: an OTA counts once, however often it was accepted, and not when it was voided (R17).
func (t *accountant) sum() account {
	a := t.account
	for id, size := range t.upgraded {
		if !t.voided[id] {
			a.otaUnits += uint64((size + 5<<20 - 1) / (5 << 20))
		}
	}
	return a
}

// comparison holds what gateways were answered against the daemon's logs and views.
type comparison struct {
	d        *daemon
	events   map[string]*countedEvent // by topic
	answered map[string]*accountant   // by product/device
	seen     map[string]bool          // topics that the log has
	faults   []string
}

func newComparison(d *daemon, gateways []*gateway) *comparison {
	c := &comparison{d: d, events: map[string]*countedEvent{}, answered: map[string]*accountant{}, seen: map[string]bool{}}
	for _, g := range gateways {
		for _, r := range g.all {
			for i, e := range r.events {
				c.events[fmt.Sprintf("%s.%d.%d", g.name, r.sequence, i)] = e
				name := e.product + "/" + e.device
				if c.answered[name] == nil {
					c.answered[name] = newAccountant()
				}
				c.answered[name].add(e, e.code)
			}
		}
	}
	return c
}

func (c *comparison) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// run compares every device: accepted as its gateways saw it = counted = logged.
func (c *comparison) run() (accepted, denied uint64) {
	c.d.t.Helper()
	for _, e := range c.events {
		if e.code == "accepted" {
			accepted++
		} else {
			denied++
		}
	}
	for _, crowd := range crowds() {
		connected, packs := 0, uint64(0)
		for i := range crowd.devices {
			a, fromPacks := c.device(crowd, fmt.Sprintf("d%d", i))
			if packs += fromPacks; a.connected {
				connected++
			}
		}
		c.product(crowd, connected, packs)
	}
	for topic, e := range c.events {
		if !c.seen[topic] && e.code != "unknown_product" && e.code != "invalid_event" {
			c.fault("event %s was answered %s and is not logged", topic, e.code)
		}
	}
	return accepted, denied
}

// device compares one device, and returns what it must have and the pack units it used.
func (c *comparison) device(crowd crowd, device string) (answered account, packs uint64) {
	c.d.t.Helper()
	name := crowd.product + "/" + device
	logged := newAccountant()
	for _, entry := range c.d.logs(crowd.product, device) {
		c.entry(name, &entry, logged)
	}
	if t := c.answered[name]; t != nil {
		answered = t.sum()
	}
	if log := logged.sum(); log != answered {
		c.fault("%s: answered %+v, logged %+v", name, answered, log)
	}
	a := c.d.ask("GET", "/v1/products/"+crowd.product+"/devices/"+device, "")
	var v deviceView
	if a.status != http.StatusNotFound {
		a.into(c.d.t, &v)
	}
	counted := account{
		up: v.Messages.Up, down: v.Messages.Down, denied: v.Messages.Denied, otaUnits: v.OTA.AllowanceUsed + v.OTA.TopupUsed,
		otaDenied: v.OTA.Denied, connected: v.State == "active", entries: answered.entries,
	}
	if counted != answered {
		c.fault("%s: answered %+v, counted %+v", name, answered, counted)
	}
	if used := answered.up + answered.down; crowd.limit > 0 &&
		(used > crowd.limit || (answered.denied > 0 && used != crowd.limit)) {
		c.fault("%s: %d messages of %d were accepted, and %d denied (R10)", name, used, crowd.limit, answered.denied)
	}
	return answered, v.OTA.TopupUsed
}

// entry compares one entry of a log with the event that was sent, and what was answered to it.
func (c *comparison) entry(name string, entry *logView, logged *accountant) {
	if entry.Topic == nil || c.events[*entry.Topic] == nil {
		c.fault("%s: the log has an event that nobody sent: %+v", name, entry)
		return
	}
	e := c.events[*entry.Topic]
	switch {
	case c.seen[*entry.Topic]:
		c.fault("event %s is logged twice", *entry.Topic)
	case name != e.product+"/"+e.device || entry.Type != e.typ || entry.Size != e.size:
		c.fault("event %s is not logged as it was sent: %s %+v, %+v", *entry.Topic, name, entry, e)
	case entry.Verdict != e.code:
		c.fault("event %s was answered %s and is logged as %s", *entry.Topic, e.code, entry.Verdict)
	}
	c.seen[*entry.Topic] = true
	logged.add(e, entry.Verdict)
}

// product compares a product's licences and packs with its devices (R4).
func (c *comparison) product(crowd crowd, connected int, packs uint64) {
	c.d.t.Helper()
	v := c.d.product(crowd.product)
	var owners []string
	for _, l := range pages[licenseView](c.d, "/v1/products/"+crowd.product+"/licenses", "licenses") {
		owners = append(owners, l.Device)
	}
	slices.Sort(owners)
	if n := len(
		slices.Compact(owners),
	); int(v.Licenses.Used) != connected || v.Devices.Active != connected || len(owners) != connected ||
		n != connected {
		c.fault("%s: %d devices connected, %d are active, %d licences are used, %d listed for %d devices",
			crowd.product, connected, v.Devices.Active, v.Licenses.Used, len(owners), n)
	}
	if connected > crowd.licenses && v.Licenses.Used > v.Licenses.Total {
		c.fault("%s: %d licences used of %d (R4)", crowd.product, v.Licenses.Used, v.Licenses.Total)
	}
	if v.Topups.OTA.Used != packs {
		c.fault("%s: %d pack units are used, by the devices %d", crowd.product, v.Topups.OTA.Used, packs)
	}
}
