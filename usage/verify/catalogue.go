package verify

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meterd/meterd/license/calendar"
)

// catalogue is what administration has said so far: what is needed of it.
type catalogue struct {
	seq      uint64  // of the last change; 0 before the first
	moved    []*pool // whose numbers changed in the group in hand
	accounts map[uint32]*account
	products []*product // by ordinal; nil where there is none
	pools    map[uint32]*pool
	parts    map[string]uint64 // of takings-back, by their keys
	notes    notes             // of sealed snapshots
	others   map[string]bool   // names of products that other cells of a cluster have, in cell 0
}

type account struct {
	name  string
	gifts uint32 // pool
}

// product is a product with what was recounted of it.
type product struct {
	id      uint32
	name    string
	account uint32
	zone    *time.Location
	plan    plan
	// planKnown says that plan is the one that events are decided under; false while the log began under an older one.
	planKnown bool
	mode      mode

	window calendar.Window // of the last event

	total      totals // cumulative
	totalKnown bool   // false until a head has said it, in a log that begins later than the product
	last       bucket // of total; zero before
	first      bucket // that was recounted
	buckets    uint64 // from it on
	licenses   uint64 // consumed in the recounted groups
	months     []monthTotals
	inGroup    []*bucketTotals
	free       []*bucketTotals
	gap        bool // something of the group could not be recounted

	gifts      uint64 // drawn
	giftsKnown bool

	closedThrough uint32 // days up to this one have ended
	isNew         bool   // the log has the change that made it
	giftsSaid     uint64
}

// mode is what the quotas of a product do.
type mode struct {
	observes bool // they deny nothing
	sinceMs  int64
	isKnown  bool // as planKnown
}

// plan is what decides how much an event counts.
type plan struct {
	messagesPerDay   uint64
	messageUnitBytes int64
	otaPerMonth      uint64
	otaUnitBytes     int64
	sinceMs          int64
}

// messageUnits returns the units of a message (R13).
func (p *plan) messageUnits(size int64) uint64 {
	if p.messageUnitBytes == 0 {
		return 1
	}
	return uint64(max(1, (size+p.messageUnitBytes-1)/p.messageUnitBytes))
}

// otaUnits returns the units of an upgrade (R15).
func (p *plan) otaUnits(size int64) uint64 {
	return uint64(max(1, (size+p.otaUnitBytes-1)/p.otaUnitBytes))
}

// pool is a lot, a pack, or an account's gifts: what was put in, and what was recounted of it.
type pool struct {
	id              uint32
	product         uint32 // 0: an account's gifts
	order           string
	units           bool
	credited        uint64
	takenBack       uint64
	drawn, returned uint64
	known           bool // false while the log began later than the pool and nothing has been drawn since
}

func newCatalogue() *catalogue {
	return &catalogue{
		accounts: map[uint32]*account{},
		pools:    map[uint32]*pool{},
		parts:    map[string]uint64{},
		others:   map[string]bool{},
	}
}

func (c *catalogue) product(id uint32) *product {
	if int(id) < len(c.products) {
		return c.products[id]
	}
	return nil
}

// origin is where a record comes from.
type origin int

const (
	checkpointed origin = iota // it stood so when the checkpoint was made
	changed                    // the log
	created                    // the log: the change made it
)

// object is a record of administration (license/FORMAT.md), with the fields that are needed of any.
type object struct {
	Account     string `json:"account"`
	GiftPool    uint32 `json:"gift_pool"`
	Gifts       uint64 `json:"gifts"`
	Product     string `json:"product"`
	AccountID   uint32 `json:"account_id"`
	Zone        string `json:"time_zone"`
	PlanSinceMs int64  `json:"plan_since_ms"`
	Order       string `json:"order"`
	Units       bool   `json:"units"`
	Credited    uint64 `json:"credited"`
	Quantity    uint64 `json:"quantity"`
	CreatedAtMs int64  `json:"created_at_ms"`
	Observes    bool   `json:"observe"`
	ModeSinceMs int64  `json:"enforcement_since_ms"`
	// Plan of a product. A lot's is not needed, and has the same fields.
	Plan struct {
		MessagesPerDay   *uint64 `json:"messages_per_day"`
		MessageUnitBytes int64   `json:"message_unit_bytes"`
		OTAPerMonth      uint64  `json:"ota_per_month"`
		OTAUnitBytes     int64   `json:"ota_unit_bytes"`
	} `json:"plan"`
}

// put takes one record. fresh says that it comes from the log, and that an account or a product in it is new: what did
// not exist before has counted nothing yet.
func (c *catalogue) put(key, value []byte, from origin) error {
	if len(key) == 0 {
		return errors.New("a record of administration has no key")
	}
	var r object
	var numbers []uint32
	for rest := key[1:]; len(rest) >= 4; rest = rest[4:] {
		numbers = append(numbers, binary.BigEndian.Uint32(rest))
	}
	want := map[byte]int{'A': 1, 'P': 1, 'O': 2, 'V': 3}[key[0]]
	if want > 0 && (len(numbers) != want || len(key) != 1+4*want) {
		return fmt.Errorf("record %q of administration has a key of %d bytes", key[0], len(key))
	}
	if want > 0 {
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("record %q of administration: %w", key[0], err)
		}
	}
	switch key[0] {
	case 'N':
		return c.putName(key[1:], value)
	case 'A':
		c.accounts[numbers[0]] = &account{name: r.Account, gifts: r.GiftPool}
		c.pool(r.GiftPool, 0, from == created).credited = r.Gifts
	case 'P':
		return c.putProduct(numbers[0], &r, from)
	case 'O': // It is put once, when it is credited.
		p := c.pool(numbers[1], numbers[0], from != checkpointed)
		p.order, p.units, p.credited = r.Order, r.Units, r.Credited
	case 'V':
		p := c.pool(numbers[1], numbers[0], false)
		p.takenBack += r.Quantity - c.parts[string(key)]
		c.parts[string(key)] = r.Quantity
	}
	return nil
}

// putName takes whether a name is that of another cell's object.
func (c *catalogue) putName(key, value []byte) error {
	var r struct {
		Deleted bool `json:"deleted"`
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("record 'N' of administration: %w", err)
	}
	if name, is := strings.CutPrefix(string(key), "p"); is {
		c.others[name] = !r.Deleted
	}
	return nil
}

// pool returns a pool, a new one if there is none or it is fresh.
func (c *catalogue) pool(id, product uint32, fresh bool) *pool {
	p := c.pools[id]
	if p == nil || fresh {
		p = &pool{id: id, product: product, known: fresh}
		c.pools[id] = p
	}
	c.moved = append(c.moved, p)
	return p
}

func (c *catalogue) putProduct(id uint32, r *object, from origin) error {
	if id == 0 || id > productMax {
		return fmt.Errorf("product %d has no number that a product can have", id)
	}
	zone, err := calendar.ParseZone(r.Zone)
	if err != nil {
		return fmt.Errorf("product %s: time zone %q %w", r.Product, r.Zone, err)
	}
	for len(c.products) <= int(id) {
		c.products = append(c.products, nil)
	}
	p := c.products[id]
	if fresh := from == created; p == nil || fresh {
		p = &product{id: id, totalKnown: fresh, giftsKnown: fresh, isNew: fresh}
		c.products[id] = p
	}
	p.name, p.account, p.zone = r.Product, r.AccountID, zone
	p.plan = plan{
		messagesPerDay: messagesPerDayMax, messageUnitBytes: r.Plan.MessageUnitBytes,
		otaPerMonth: min(r.Plan.OTAPerMonth, otaAllowMax), otaUnitBytes: max(1, r.Plan.OTAUnitBytes), sinceMs: r.PlanSinceMs,
	}
	if n := r.Plan.MessagesPerDay; n != nil {
		p.plan.messagesPerDay = min(*n, messagesPerDayMax)
	}
	p.planKnown = p.planKnown || from != checkpointed
	p.mode = mode{r.Observes, r.ModeSinceMs, p.mode.isKnown || from != checkpointed}
	return nil
}

// change applies a change of administration as the log has it.
func (c *catalogue) change(encoded []byte) error {
	ch, err := decodeChange(encoded)
	if err != nil {
		return err
	}
	if c.seq != 0 && ch.seq != c.seq+1 {
		return fmt.Errorf("change %d of administration follows change %d", ch.seq, c.seq)
	}
	c.seq = ch.seq
	if err := c.notes.add(&ch); err != nil {
		return fmt.Errorf("change %d of administration: %w", ch.seq, err)
	}
	from := changed
	if ch.action == "product.create" || ch.action == "account.create" {
		from = created
	}
	for _, p := range ch.puts {
		if err := c.put(p.key, p.value, from); err != nil {
			return fmt.Errorf("change %d of administration: %w", ch.seq, err)
		}
	}
	return nil
}

// change is a change of administration: its entry in the audit log, and the records that it left.
type change struct {
	seq                   uint64
	atMs                  int64
	action                string
	token, target, detail []byte
	puts                  []put
}

type put struct{ key, value []byte }

// decodeChange reads a change of administration. What is in it aliases b.
func decodeChange(b []byte) (ch change, err error) {
	in := input{b: b}
	if in.u8() != 1 {
		return ch, errors.New("a change of administration has not version 1")
	}
	ch.seq = in.uvarint()
	ch.atMs = in.varint()
	in.uvarint() // Whose gateways forget denials.
	if in.uvarint() != 0 {
		in.text()
		in.u8()
	}
	if ch.action = string(in.text()); ch.action != "" {
		ch.token, ch.target, ch.detail = in.text(), in.text(), in.text()
	}
	for n := in.uvarint(); n > 0 && in.err == nil; n-- {
		ch.puts = append(ch.puts, put{in.text(), in.text()})
	}
	if err := in.done(); err != nil {
		return ch, fmt.Errorf("change %d of administration: %w", ch.seq, err)
	}
	return ch, nil
}

// dayAt returns the product's day at an instant.
func (p *product) dayAt(ms int64) uint32 {
	p.look(ms)
	return p.window.Day
}

// look makes the window that of an instant.
func (p *product) look(ms int64) {
	if ms < p.window.DayStartMs || ms >= p.window.DayEndMs {
		p.window = calendar.WindowAt(ms, p.zone)
	}
}

// dayBegan returns when a day began or begins, Unix milliseconds.
func (p *product) dayBegan(day uint32) int64 {
	w := calendar.WindowAt((int64(day)+epochDay)*86400_000-86400_000, p.zone)
	for w.Day < day {
		w = calendar.WindowAt(w.DayEndMs, p.zone)
	}
	return w.DayStartMs
}

// at returns what the product's totals of the group changed by in the bucket of an instant and a day.
func (p *product) at(ms int64, day uint32) *totals {
	if day > p.dayAt(ms) {
		ms = p.dayBegan(day)
	}
	quarter := uint32(ms / quarterMs)
	for i := len(p.inGroup) - 1; i >= 0; i-- {
		if b := p.inGroup[i]; b.quarter == quarter && b.day == day {
			return &b.totals
		}
	}
	var b *bucketTotals
	if n := len(p.free); n > 0 {
		b, p.free = p.free[n-1], p.free[:n-1]
		b.reset()
	} else {
		b = &bucketTotals{}
	}
	b.bucket = bucket{p.id, quarter, day}
	p.inGroup = append(p.inGroup, b)
	return &b.totals
}
