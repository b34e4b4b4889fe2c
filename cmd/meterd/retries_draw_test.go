package main_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// crowd is a product of the retries' traffic.
type crowd struct {
	product  string
	devices  int // named d0 to dn
	licenses int
	limit    uint64 // messages a day; 0 for no limit
	plan     string
}

// crowds are a product whose quotas run out device by device, one whose licences run out, and one that is there to be
// denied: its answers are too large to be remembered in memory.
func crowds() []crowd {
	return []crowd{
		{"busy", 24, 100, 700, `{"messages_per_day":700,"ota_per_month":20}`},
		{"scarce", 60, 25, 0, `{"messages_per_day":null}`},
		{"flood", 2, 5, 10, `{"messages_per_day":10}`},
	}
}

// draw fills a request: a batch as lines or as an array, a single event, or a flood of denials.
func (r *numbered) draw(dice *rand.Rand, producer string) {
	n, isFlood := 1+dice.IntN(25), false
	switch chance := dice.IntN(100); {
	case chance < 30:
		n, r.isSingle = 1, true
	case chance < 34:
		n, isFlood = 100+dice.IntN(300), true
	}
	lines := make([]string, n)
	for i := range n {
		e := &countedEvent{}
		if isFlood {
			e.typ, e.product, e.device = "up", "flood", fmt.Sprintf("d%d", dice.IntN(2))
			if i == 0 {
				e.typ = "connect"
			}
		} else {
			e.draw(dice)
		}
		r.events = append(r.events, e)
		lines[i] = e.line(fmt.Sprintf("%s.%d.%d", producer, r.sequence, i))
	}
	body := strings.Join(lines, "\n")
	switch {
	case r.isSingle:
		r.kind = asJSON
	case dice.IntN(3) == 0:
		r.kind, body = asJSON, "["+strings.Join(lines, ",")+"]"
	default:
		r.kind = asNDJSON
	}
	r.body = []byte(body)
}

// draw makes one event. Devices with low numbers get most of it.
func (e *countedEvent) draw(dice *rand.Rand) {
	c := crowds()[dice.IntN(2)]
	e.product, e.device = c.product, fmt.Sprintf("d%d", min(dice.IntN(c.devices), dice.IntN(c.devices)))
	switch chance := dice.IntN(100); {
	case chance < 10:
		e.typ = "connect"
	case chance < 12:
		e.typ = "disconnect"
	case chance < 13:
		e.typ, e.product = "up", "nowhere"
	case chance < 14:
		e.typ = "fly" // It denies its event alone.
	case chance < 20:
		n := dice.IntN(40)
		e.typ, e.id, e.size = "ota", fmt.Sprintf("o%d", n), int64(1+n%3*5<<20)
		if dice.IntN(10) == 0 {
			e.size++ // The same id of another size.
		}
	case chance < 22:
		e.typ, e.id = "ota_void", fmt.Sprintf("o%d", dice.IntN(40))
	case chance < 60:
		e.typ, e.size = "down", dice.Int64N(1000)
	default:
		e.typ, e.size = "up", dice.Int64N(200)
	}
}

// line is the event in JSON. Its topic names it in the log.
func (e *countedEvent) line(topic string) string {
	rest := ""
	if e.id != "" {
		rest = fmt.Sprintf(`,"id":%q`, e.id)
	}
	if e.typ == "up" {
		rest += fmt.Sprintf(`,"payload":%q`, strings.Repeat("v", int(e.size)))
	}
	return fmt.Sprintf(
		`{"type":%q,"product":%q,"device":%q,"size":%d,"topic":%q%s}`,
		e.typ,
		e.product,
		e.device,
		e.size,
		topic,
		rest,
	)
}
