package main

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
)

// A shared subscription gives each message to one of its members. The gateway chooses one that has room, as far as it
// knows; when meterd denies the delivery all the same, it goes on to another member, until one may have it.
//
//	PUBLISH ─► OnSelectSubscribers ─► queue of the member ─► OnPacketEncode: asked ─► accepted: written
//	                  ▲                                                      └► denied: passOn ─┐
//	                  └─────────────────── the same message, for one shared filter ◄────────────┘
//
// Who was chosen by which shared filter is written into the delivery as a subscription identifier below zero, which the
// broker keeps with the message, also in the session of an absent member, and never sends.

// denial is what is remembered of a member whose last delivery was denied.
type denial struct {
	until     time.Time
	refreshes uint64 // of the gateway, when meterd was asked
}

// noteRoom remembers, until a refresh and for denialKeptFor at most, that a delivery to c was denied. It is used only
// to choose among the members of a shared subscription. refreshes is the gateway's count from before meterd was asked.
func (c *connection) noteRoom(v client.Verdict, refreshes uint64) {
	if v.Accepted {
		if c.denied.Load() != nil {
			c.denied.Store(nil)
		}
		return
	}
	until := time.Now().Add(denialKeptFor)
	if !v.ResetsAt.IsZero() && v.ResetsAt.Before(until) {
		until = v.ResetsAt
	}
	c.denied.Store(&denial{until: until, refreshes: refreshes})
}

// hasRoom reports whether no denial is remembered.
func (c *connection) hasRoom() bool {
	d := c.denied.Load()
	return d == nil || d.refreshes != c.gateway.refreshes.Load() || !time.Now().Before(d.until)
}

// OnSelectSubscribers chooses a member of each shared subscription, in the publisher's goroutine; or of one, when a
// message is passed on. The broker is left nothing to choose from.
func (h *hook) OnSelectSubscribers(subs *mqtt.Subscribers, pk packets.Packet) *mqtt.Subscribers {
	shared := subs.Shared
	subs.Shared, subs.SharedSelected = nil, nil
	if len(pk.Filters) > 0 {
		subs.Subscriptions = map[string]packets.Subscription{} // They had the message when it was received.
		filter, tried := pk.Filters[0].Filter, pk.Filters[0].ShareName
		if id, hasRoom := h.choose(shared[filter], tried, pk.FixedHeader.Qos); hasRoom {
			h.add(subs, id, shared[filter][id], &pk)
		}
		return subs
	}
	for _, members := range shared {
		if id, _ := h.choose(members, nil, pk.FixedHeader.Qos); id != "" {
			h.add(subs, id, members[id], &pk)
		}
	}
	return subs
}

// choose returns the session of a member, at random: one that has room, or any if none has; "" when there is none. An
// absent member has no room for QoS 0, which its session does not keep.
func (h *hook) choose(
	members map[string]packets.Subscription, tried []string, qos byte,
) (chosen string, hasRoom bool) {
	var alike int // members with as much room as chosen
	for id, sub := range members {
		cl, ok := h.gateway.broker.Clients.Get(id)
		if !ok || slices.Contains(tried, id) {
			continue
		}
		room := connectionOf(cl).hasRoom() && (min(qos, sub.Qos) > 0 || !cl.Closed())
		if room && !hasRoom {
			hasRoom, alike = true, 0
		}
		if room != hasRoom {
			continue
		}
		if alike++; rand.IntN(alike) == 0 {
			chosen = id
		}
	}
	return chosen, hasRoom
}

// add makes the session id a subscriber, which gets one copy for all its subscriptions, and marks the delivery.
func (h *hook) add(subs *mqtt.Subscribers, id string, sub packets.Subscription, pk *packets.Packet) {
	all, ok := subs.Subscriptions[id]
	if !ok {
		all = sub
	}
	all = all.Merge(sub)
	all.Identifiers["\x00"+sub.Filter] = ^(h.shareKey(sub.Filter)<<2 | int(pk.FixedHeader.Qos)) // No filter has a NUL.
	subs.Subscriptions[id] = all
}

// shareKey returns 60 bits that stand for a shared filter.
func (h *hook) shareKey(filter string) int { return int(maphash.String(h.seed, filter) >> 4) }

// isChosen reports whether a shared subscription had chosen the receiver of a delivery.
func isChosen(pk *packets.Packet) bool {
	marks := pk.Properties.SubscriptionIdentifier // They are sorted.
	return len(marks) > 0 && marks[0] < 0
}

// isAstray reports whether a delivery is that of a message that was passed on, to somebody who was not chosen. The
// broker does not call OnSelectSubscribers when the last member leaves at that moment.
func isAstray(pk *packets.Packet) bool { return len(pk.Filters) > 0 && !isChosen(pk) }

// passOn gives a delivery that was denied to cl to another member that has room, of each shared subscription that had
// chosen cl. It never waits: it runs where the delivery was denied, in the goroutine of cl.
func (h *hook) passOn(cl *mqtt.Client, pk packets.Packet) {
	if !isChosen(&pk) {
		return
	}
	marks := pk.Properties.SubscriptionIdentifier
	tried := []string{cl.ID}
	if len(pk.Filters) > 0 {
		tried = append(tried, pk.Filters[0].ShareName...)
	}
	pk.Properties.SubscriptionIdentifier = nil
	pk.Mods, pk.ReservedBit = packets.Mods{}, 0
	if pk.Expiry > 0 {
		pk.Properties.MessageExpiryInterval = uint32(max(pk.Expiry-time.Now().Unix(), 1))
	}
	for filter := range h.gateway.broker.Topics.Subscribers(pk.TopicName).Shared {
		i := slices.IndexFunc(marks, func(mark int) bool { return mark < 0 && ^mark>>2 == h.shareKey(filter) })
		if i < 0 {
			continue
		}
		qos := byte(^marks[i] & 3) // As it was published; what cl subscribed to may be less.
		pk.FixedHeader = packets.FixedHeader{Type: packets.Publish, Qos: qos}
		pk.PacketID = uint16(min(qos, 1)) // The broker wants one, and gives each delivery its own.
		pk.Filters = packets.Subscriptions{{Filter: filter, ShareName: tried}}
		_ = h.gateway.broker.InjectPacket(h.gateway.forwarder, pk) // It is a PUBLISH as the broker wants it.
	}
}
