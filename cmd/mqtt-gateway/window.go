package main

import (
	"context"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// window is how many QoS 1 and 2 deliveries a subscriber takes unacknowledged (Receive Maximum, MQTT 5): a token for
// each that is out. Nil is no limit.
//
// It replaces the broker's own count of them, which locks up for ever: Inflight.NextImmediate, run for each packet of a
// subscriber that has a Receive Maximum, takes a read lock twice, and a publisher that asks for the write lock in
// between blocks both, and then every publisher to that subscriber.
type window chan struct{}

// takeWindow returns a window of the subscriber's Receive Maximum, and switches the broker's count off.
func takeWindow(cl *mqtt.Client) window {
	n := cl.Properties.Props.ReceiveMaximum
	cl.Properties.Props.ReceiveMaximum = 0 // A resumed session sets its quota from here.
	cl.State.Inflight.ResetSendQuota(0)
	if n == 0 {
		return nil
	}
	return make(window, n)
}

// enter waits until there is room for one more delivery; false when ctx ends first.
func (w window) enter(ctx context.Context) bool {
	if w == nil {
		return true
	}
	select {
	case w <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// force takes room without waiting, if there is any: for what a resumed session is sent before its acknowledgements are
// read.
func (w window) force() {
	select {
	case w <- struct{}{}: // Never chosen when w is nil.
	default:
	}
}

// leave gives room back.
func (w window) leave() {
	select {
	case <-w:
	default:
	}
}

// read gives room back for what pk, from the subscriber, acknowledges finally.
func (w window) read(pk *packets.Packet) {
	switch pk.FixedHeader.Type {
	case packets.Puback, packets.Pubcomp:
		w.leave()
	case packets.Pubrec:
		if pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
			w.leave()
		}
	}
}
