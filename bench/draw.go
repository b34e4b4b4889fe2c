package bench

import (
	"math"
	"math/bits"
)

// draws is a stream of pseudo-random numbers (splitmix64): a few instructions a number. The same seed gives the same
// numbers again, so that what each device was sent can be computed after the load.
type draws struct{ state uint64 }

// newDraws returns the stream of one caller of one stage of a run. Each caller and stage has a stream of its own.
func newDraws(seed uint64, stage, caller int) draws {
	d := draws{state: seed}
	d.state = d.next() + uint64(stage)
	d.state = d.next() + uint64(caller)
	return draws{state: d.next()}
}

func (d *draws) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// kind is the type of an event.
type kind uint8

const (
	connect kind = iota
	up
	down
)

// message is one event to be sent.
type message struct {
	device int32
	size   uint16 // three digits
	kind   kind
}

// sizeMin and sizeBits give sizes of three digits, and of two bytes as a varint, so that all events of a kind are
// equally long.
const sizeMin, sizeBits = 128, 9

// The ways to draw devices.
const (
	// DrawUniform: each device is as likely as the next.
	DrawUniform = "uniform"
	// DrawZipf: the device of rank k gets ln(1+1/k)/ln(n+1) of the messages of n devices. This is Zipf's law with exponent
	// 1, taken from the integral of 1/x: a draw takes one exponential, and no table that would push the daemon's out of
	// the cache.
	DrawZipf = "zipf"
)

// chooser turns numbers into messages to or from some devices of a fleet. The same numbers give the same messages.
type chooser struct {
	fleet int     // all devices
	among int     // the devices that are drawn at any one time
	log   float64 // of among+1, for Zipf; 0: uniform
	first int     // the first of these; behind the last device follows device 0

	// A device exchanges at most 16,000,000 messages a day, also without a limit (R10), and a hot device reaches that in
	// seconds. So after turn messages of a caller other devices are drawn; 0: never.
	turn, left uint64
}

// hotMessagesMax is how many messages the likeliest device gets before others are drawn. It is below R10's limit
// because callers do not advance together.
const hotMessagesMax = 10_000_000

// turnStride is the distance to the next devices. It is a prime, so that every device is drawn before one is drawn
// again.
const turnStride = 1009

// newChooser returns the chooser of one caller in a stage.
func newChooser(fleet int, c Case, stage int) chooser {
	among := c.among(fleet)
	h := chooser{fleet: fleet, among: among}
	share := 1 / float64(among)
	if c.Draw == DrawZipf {
		h.log = math.Log(float64(among) + 1)
		share = math.Ln2 / h.log
	}
	if c.Draw != DrawZipf && among == fleet {
		return h
	}
	h.first = stage * turnStride * turnStride % fleet
	h.turn = max(1, uint64(hotMessagesMax/share)/uint64(max(1, c.Connections)))
	h.left = h.turn
	return h
}

// message makes a message from a number: the device from the high bits, the rest from the low bits.
func (h *chooser) message(number uint64) message {
	if h.turn > 0 {
		if h.left == 0 {
			h.first, h.left = (h.first+turnStride)%h.fleet, h.turn
		}
		h.left--
	}
	var device int
	if h.log == 0 {
		rank, _ := bits.Mul64(number, uint64(h.among))
		device = int(rank)
	} else {
		device = min(int(math.Exp(float64(number>>11)*0x1p-53*h.log)), h.among) - 1
	}
	if device += h.first; device >= h.fleet {
		device -= h.fleet
	}
	return message{device: int32(device), kind: up + kind(number&1), size: sizeMin + uint16(number>>1&(1<<sizeBits-1))}
}
