package record

import (
	"encoding/binary"
	"fmt"

	"github.com/meterd/meterd/event"
)

// Kinds of bindings. The numbers are on disk.
const (
	bindingDevice    = 1
	bindingProducer  = 2
	bindingForgotten = 3 // a producer
)

// Device binds an ordinal to a name.
type Device struct {
	Ordinal uint64
	Product uint32
	Name    []byte
}

// Producer binds a holder's ordinal to a gateway's name, and says again from time to time that the gateway is alive.
// Account 0 is the space of unbound tokens.
type Producer struct {
	Ordinal uint32
	Account uint32
	SeenMs  int64 // when it sent a request, Unix milliseconds
	Name    []byte
}

// BindDevice says which device has this ordinal from now on.
func (b *Builder) BindDevice(d Device) {
	c := append(b.cols[colBindings], bindingDevice)
	c = binary.AppendUvarint(c, d.Ordinal)
	c = binary.AppendUvarint(c, uint64(d.Product))
	c = binary.AppendUvarint(c, uint64(len(d.Name)))
	b.cols[colBindings] = append(c, d.Name...)
}

// BindProducer says which producer has this ordinal from now on.
func (b *Builder) BindProducer(p Producer) {
	c := append(b.cols[colBindings], bindingProducer)
	c = binary.AppendUvarint(c, uint64(p.Ordinal))
	c = binary.AppendUvarint(c, uint64(p.Account))
	c = binary.AppendUvarint(c, uint64(len(p.Name)))
	c = append(c, p.Name...)
	b.cols[colBindings] = binary.AppendVarint(c, p.SeenMs)
}

// ForgetProducer says that no producer has this ordinal any more.
func (b *Builder) ForgetProducer(ordinal uint32) {
	b.cols[colBindings] = binary.AppendUvarint(append(b.cols[colBindings], bindingForgotten), uint64(ordinal))
}

// Bindings receives the bindings of a chunk. Names are in place.
type Bindings interface {
	Device(Device) error
	Producer(Producer) error
	// Forgotten says that a producer's ordinal is nobody's. A group may also say again that the producer is there: what is
	// forgotten in a group counts after all that is bound in it.
	Forgotten(producer uint32) error
}

// Bindings calls b for every binding of the chunk, in order. It must be done for all chunks of a group before the rest
// of any.
func (c *Chunk) Bindings(b Bindings) error {
	r := reader{b: c.cols[colBindings]}
	for len(r.b) > 0 {
		if err := oneBinding(&r, b); err != nil {
			return err
		}
	}
	return nil
}

func oneBinding(r *reader, b Bindings) error {
	kind, ordinal := r.byte(), r.uvarint()
	if kind == bindingForgotten {
		switch {
		case r.err != nil:
			return fmt.Errorf("bindings: %w", r.err)
		case ordinal > 1<<32-1:
			return fmt.Errorf("producer %d, which is forgotten, is out of bounds", ordinal)
		}
		return b.Forgotten(uint32(ordinal))
	}
	owner := r.uvarint()
	name := r.bytes(r.uvarint())
	var seenMs int64
	if kind == bindingProducer {
		seenMs = r.varint()
	}
	switch {
	case r.err != nil:
		return fmt.Errorf("bindings: %w", r.err)
	case owner > 1<<32-1 || len(name) > event.NameBytesMax || (kind == bindingProducer && ordinal > 1<<32-1):
		return fmt.Errorf("binding of %d is out of bounds", ordinal)
	}
	switch kind {
	case bindingDevice:
		return b.Device(Device{Ordinal: ordinal, Product: uint32(owner), Name: name})
	case bindingProducer:
		return b.Producer(Producer{Ordinal: uint32(ordinal), Account: uint32(owner), SeenMs: seenMs, Name: name})
	}
	return fmt.Errorf("binding of unknown kind %d", kind)
}
