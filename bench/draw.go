package bench

import "math/bits"

// draws is a stream of numbers (splitmix64): a few instructions a number, and the same numbers again for the same seed, which is how it is
// known afterwards what every device was sent.
type draws struct{ state uint64 }

// newDraws returns the stream of one caller of one stage of a run. Streams of different callers and stages share nothing.
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

// message is what one number says: which device, which direction, how large.
type message struct {
	device int
	down   bool
	size   int // three digits
}

// sizeMin and sizeBits give sizes of three digits each, so that all lines of a type have one length.
const sizeMin, sizeBits = 100, 9

// messageOf reads a number as a message to or from one of devices, uniformly.
func messageOf(number uint64, devices int) message {
	device, _ := bits.Mul64(number, uint64(devices)) // From the high bits; the rest from the low ones.
	return message{
		device: int(device),
		down:   number&1 != 0,
		size:   sizeMin + int(number>>1&(1<<sizeBits-1)),
	}
}
