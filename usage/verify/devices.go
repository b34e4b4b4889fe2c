package verify

import (
	"fmt"
	"iter"
)

// device is what was recounted of a device.
type device struct {
	ordinal uint64
	words   [4]uint64 // w2 to w5
	// closed are the w2 and w3 of a day that words went on from, until that day has ended.
	closed  [2]uint64
	name    uint64 // place among the names
	product uint32
	otaDay  uint16 // of the last change of w4
	known   uint8  // a bit for each of words, false while the log began later and nothing has been said since
	said    uint8  // a bit for w2 and w3: the log has it as closed
}

func (d *device) knows(i int) bool { return d.known>>i&1 != 0 }
func (d *device) know(i int)       { d.known |= 1 << i }

// devices is the map of all devices, by their ordinals: about 130 bytes a device with a name of 16 bytes.
type devices struct {
	blocks [][]device // of blockDevices
	count  uint32
	pages  [1 << (39 - placeBits)][]*page // by shard, then the high bits of the place
	names  [][]byte                       // blocks of nameBytes; a name never crosses from one to the next
}

// page has the number of a device, plus one, by the low bits of its place.
type page [1 << pageBits]uint32

const (
	pageBits     = 12
	blockBits    = 12
	blockDevices = 1 << blockBits
	nameBytes    = 1 << 20
	nameLenBits  = 8
)

func (t *devices) at(n uint32) *device { return &t.blocks[n>>blockBits][n&(blockDevices-1)] }

// find returns a device, nil if nothing has bound it.
func (t *devices) find(ordinal uint64) *device {
	pages := t.pages[ordinal>>placeBits]
	place := ordinal & (1<<placeBits - 1)
	if int(place>>pageBits) >= len(pages) || pages[place>>pageBits] == nil {
		return nil
	}
	n := pages[place>>pageBits][place&(1<<pageBits-1)]
	if n == 0 {
		return nil
	}
	return t.at(n - 1)
}

// bind adds a device.
func (t *devices) bind(ordinal uint64, product uint32, name []byte) *device {
	pages := &t.pages[ordinal>>placeBits]
	place := ordinal & (1<<placeBits - 1)
	for len(*pages) <= int(place>>pageBits) {
		*pages = append(*pages, nil)
	}
	if (*pages)[place>>pageBits] == nil {
		(*pages)[place>>pageBits] = new(page)
	}
	if t.count&(blockDevices-1) == 0 {
		t.blocks = append(t.blocks, make([]device, blockDevices))
	}
	t.count++
	(*pages)[place>>pageBits][place&(1<<pageBits-1)] = t.count
	d := t.at(t.count - 1)
	*d = device{ordinal: ordinal, product: product, name: t.keepName(name)}
	return d
}

func (t *devices) keepName(name []byte) uint64 {
	last := len(t.names) - 1
	if last < 0 || len(t.names[last])+len(name) > nameBytes {
		t.names = append(t.names, make([]byte, 0, nameBytes))
		last++
	}
	at := uint64(last)*nameBytes + uint64(len(t.names[last]))
	t.names[last] = append(t.names[last], name...)
	return at<<nameLenBits | uint64(len(name))
}

// nameOf returns a device's name, in place.
func (t *devices) nameOf(d *device) []byte {
	at, n := d.name>>nameLenBits, d.name&(1<<nameLenBits-1)
	return t.names[at/nameBytes][at%nameBytes:][:n]
}

// all returns every device in the order of ordinals.
func (t *devices) all() iter.Seq[*device] {
	return func(yield func(*device) bool) {
		for shard := range t.pages {
			for _, p := range t.pages[shard] {
				if p == nil {
					continue
				}
				for _, n := range p {
					if n != 0 && !yield(t.at(n-1)) {
						return
					}
				}
			}
		}
	}
}

func (r *recount) deviceName(d *device) string {
	product := fmt.Sprintf("product %d", d.product)
	if p := r.cat.product(d.product); p != nil {
		product = "product " + p.name
	}
	return fmt.Sprintf("device %s of %s", r.devices.nameOf(d), product)
}
