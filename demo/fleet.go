package demo

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// message is one event of a device, as its gateway sees it.
type message struct {
	device  *device
	kind    event.Type
	atMs    int64
	size    int64 // of a firmware package; that of a message is its payload's
	topic   string
	id      string
	payload []byte
}

// device is one device of the fleet. It belongs to its Fleet.
type device struct {
	model *model
	// number is its place among the model's, from 1.
	number int
	name   string
	zone   *time.Location
	dice   *rand.Rand
	dueMs  int64 // of what it does next
	heldMs int64 // it was refused, and does nothing until then
	// isOn says that it takes itself for online.
	isOn bool
	// untilMs is when what it is doing ends.
	untilMs int64
}

// fleet is all devices and what they do: each does one thing after another, at times that its dice decide. It is not
// safe for concurrent use.
type fleet struct {
	queue    dueQueue
	faultyMs int64     // when the fault of some meters shows
	planned  []message // of roll-outs, in the order of time
	out      []message
}

// newFleet returns the devices at the beginning of a week: they come one after another, most of them on the first day.
// With isOld all of them have come long ago.
func newFleet(seed uint64, begin time.Time, week time.Duration, isOld bool) (*fleet, error) {
	beginMs := begin.UnixMilli()
	f := &fleet{faultyMs: beginMs}
	if !isOld {
		f.faultyMs += 2 * week.Milliseconds() / 7
	}
	for i := range models {
		m := &models[i]
		zone, err := calendar.ParseZone(m.zone)
		if err != nil {
			return nil, fmt.Errorf("the demo's time zone %q: %w", m.zone, err)
		}
		for n := range m.count {
			d := &device{
				model: m, number: n + 1, name: m.prefix + strconv.Itoa(10001 + n)[1:], zone: zone,
				dice: rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(n))),
			}
			switch {
			case isOld:
				d.dueMs = m.next(d, beginMs)
			case n < m.early:
				d.dueMs = beginMs + d.between(week/500, week/14)
			default:
				d.dueMs = beginMs + d.between(week/14, week)
			}
			f.queue = append(f.queue, d)
		}
	}
	heap.Init(&f.queue)
	return f, nil
}

// advance returns what happens before toMs, each device's in the order of time. It is valid until the next call.
func (f *fleet) advance(toMs int64) []message {
	f.out = f.out[:0]
	for len(f.queue) > 0 && f.queue[0].dueMs < toMs {
		d := f.queue[0]
		now := d.dueMs
		switch {
		case now < d.heldMs:
			d.dueMs = d.heldMs
		default:
			d.dueMs = max(d.model.act(f, d, now), now+1)
		}
		heap.Fix(&f.queue, 0)
	}
	n := 0
	for n < len(f.planned) && f.planned[n].atMs < toMs {
		n++
	}
	f.out = append(f.out, f.planned[:n]...)
	f.planned = f.planned[n:]
	return f.out
}

// denied tells a device that what it did was denied, with the wire name of the code. One that may not pass is put
// offline by its gateway.
func (f *fleet) denied(d *device, nowMs int64, code string) {
	switch code {
	case event.Suspended.String(), event.LicenseExhausted.String(), event.RenewalOff.String(), event.NotActivated.String():
		d.isOn, d.heldMs = false, nowMs+d.between(retryMin, retryMax)
	default: // What a quota denies goes on as it comes.
	}
}

// say adds a message of a device, and returns it for what else it has.
func (f *fleet) say(d *device, kind event.Type, atMs int64) *message {
	f.out = append(f.out, message{device: d, kind: kind, atMs: atMs})
	return &f.out[len(f.out)-1]
}

// tell adds a message with a payload, an up or a down.
func (f *fleet) tell(d *device, kind event.Type, atMs int64, topic string, payload []byte) {
	m := f.say(d, kind, atMs)
	m.topic, m.payload = topic, payload
}

// connect has a device connect, and returns false if it is online.
func (f *fleet) connect(d *device, nowMs int64) bool {
	if d.isOn {
		return false
	}
	d.isOn = true
	f.say(d, event.Connect, nowMs)
	return true
}

// disconnect has a device go.
func (f *fleet) disconnect(d *device, nowMs int64) {
	f.say(d, event.Disconnect, nowMs)
	d.isOn = false
}

// between returns a random time between two, in milliseconds.
func (d *device) between(low, high time.Duration) int64 {
	return low.Milliseconds() + d.dice.Int64N(max(1, (high-low).Milliseconds()))
}

// hour returns the hour of the day where the device is, with its part: 13.5 is half past one.
func (d *device) hour(ms int64) float64 {
	t := time.UnixMilli(ms).In(d.zone)
	return float64(t.Hour()) + float64(t.Minute())/60
}

// arrival returns when a device is used next, that is used so often a day on average, more in some hours than in
// others: by thinning of a process that is as fast as the fullest hour.
func (d *device) arrival(nowMs int64, aDay float64, byHour *[24]float64) int64 {
	fullest := 0.0
	sum := 0.0
	for _, x := range byHour {
		fullest, sum = max(fullest, x), sum+x
	}
	meanMs := 24 * 3600 * 1000 / (aDay * fullest * 24 / sum)
	at := float64(nowMs)
	for range arrivalTriesMax {
		at += d.dice.ExpFloat64() * meanMs
		if d.dice.Float64()*fullest < byHour[int(d.hour(int64(at)))] {
			break
		}
	}
	return int64(at)
}

// dueQueue is a heap of devices: the one that does something next is the first.
type dueQueue []*device

func (q dueQueue) Len() int { return len(q) }
func (q dueQueue) Less(i, j int) bool {
	if q[i].dueMs != q[j].dueMs {
		return q[i].dueMs < q[j].dueMs
	}
	return q[i].name < q[j].name // So that the order does not depend on the heap.
}
func (q dueQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *dueQueue) Push(x any)   { *q = append(*q, x.(*device)) }
func (q *dueQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
