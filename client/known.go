package client

import (
	"time"

	"github.com/meterd/meterd/event"
)

type deviceKey struct{ product, device string }

// known is what a lane remembers of one device with the policy LastKnown.
type known struct {
	asked  uint8    // a bit a kind: it was answered
	denied uint8    // a bit a kind: the last answer was a denial
	denial *Verdict // the last one
}

// kindOf returns the bit of what is granted together: a connection, messages, firmware.
func kindOf(t event.Type) uint8 {
	switch t {
	case event.Up, event.Down:
		return 2
	case event.OTA, event.OTAVoid:
		return 4
	}
	return 1
}

// learn remembers a verdict about e.
func (l *lane) learn(e *Event, v Verdict) {
	isAbout := e.Type != event.Disconnect && !v.Is(event.InvalidEvent) && !v.Is(event.PayloadTooLarge)
	if l.client.opts.OnUnavailable != LastKnown || !isAbout {
		return // Nothing, or nothing about the device.
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := deviceKey{e.Product, e.Device}
	k, isKnown := l.known[key]
	if !isKnown && len(l.known) >= max(1, l.client.opts.KnownDevicesMax/len(l.client.lanes)) {
		for other := range l.known { // Any: devices are asked about too often to keep an order of them.
			delete(l.known, other)
			break
		}
	}
	kind := kindOf(e.Type)
	k.asked |= kind
	k.denied &^= kind
	if !v.Accepted {
		k.denied |= kind
		k.denial = &v
	}
	l.known[key] = k
}

// policy returns the verdict that e gets without meterd; false when it gets none. The mutex is held.
func (l *lane) policy(e *Event) (Verdict, bool) {
	if l.client.passes(e.Type) {
		return accepted(true), true
	}
	k := l.known[deviceKey{e.Product, e.Device}] // Empty with another policy.
	kind := kindOf(e.Type)
	switch {
	case k.asked&kind == 0:
		return Verdict{}, false
	case k.denied&kind == 0 || !k.denial.ResetsAt.IsZero() && !time.Now().Before(k.denial.ResetsAt):
		return accepted(true), true
	}
	v := *k.denial
	v.Unasked = true
	return v, true
}
