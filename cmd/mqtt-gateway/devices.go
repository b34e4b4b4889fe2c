package main

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// devices knows which connections every device has here. Connects and disconnects are handed to the client under the
// lock that counts connections, so that meterd decides about them in the order in which they happened.
type devices struct {
	gateway *gateway
	seed    maphash.Seed
	shards  [deviceShards]deviceShard
}

type deviceShard struct {
	mu      sync.Mutex
	devices map[deviceName]*device
}

// device is one that has a connection or is asking for one.
type device struct {
	connections map[*connection]*mqtt.Client
	online      bool // meterd may think that it is online
}

func newDevices(g *gateway) *devices {
	d := &devices{gateway: g, seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].devices = map[deviceName]*device{}
	}
	return d
}

func (d *devices) shard(n deviceName) *deviceShard {
	return &d.shards[(maphash.String(d.seed, n.device)^maphash.String(d.seed, n.product)<<1)%deviceShards]
}

// connect counts c and asks whether its device may connect. c must leave afterwards whatever the answer is.
func (d *devices) connect(c *connection, cl *mqtt.Client) (client.Verdict, error) {
	start := time.Now()
	s := d.shard(c.device)
	s.mu.Lock()
	dev := s.devices[c.device]
	if dev == nil {
		dev = &device{connections: map[*connection]*mqtt.Client{}}
		s.devices[c.device] = dev
	}
	dev.connections[c] = cl
	p, err := d.gateway.client.Begin(
		context.Background(),
		client.Event{Type: event.Connect, Product: c.device.product, Device: c.device.device},
	)
	s.mu.Unlock()
	var v client.Verdict
	if err == nil {
		v, err = p.Wait(context.Background())
	}
	d.gateway.meter.asked(event.Connect, v, err, time.Since(start))
	if v.Accepted || isAmbiguous(err) {
		s.mu.Lock()
		dev.online = true
		s.mu.Unlock()
	}
	return v, err
}

// leave ends what connect began. With the last connection of an online device meterd is sent a disconnect: not when
// another one took over, since the new one has the same holder.
func (d *devices) leave(c *connection) {
	start := time.Now()
	s := d.shard(c.device)
	s.mu.Lock()
	dev := s.devices[c.device]
	delete(dev.connections, c)
	if len(dev.connections) > 0 {
		s.mu.Unlock()
		return
	}
	delete(s.devices, c.device)
	if !dev.online {
		s.mu.Unlock()
		return
	}
	p, err := d.gateway.client.Begin(
		context.Background(),
		client.Event{Type: event.Disconnect, Product: c.device.product, Device: c.device.device},
	)
	s.mu.Unlock()
	var v client.Verdict
	if err == nil {
		v, err = p.Wait(context.Background())
	}
	d.gateway.meter.asked(event.Disconnect, v, err, time.Since(start))
}

// disconnect closes every connection of a device, once, each in a goroutine of its own, and does not wait for it.
// meterd is sent the usual disconnect when the last one has ended.
func (d *devices) disconnect(n deviceName, reason packets.Code) {
	s := d.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	dev := s.devices[n]
	if dev == nil {
		return // It has no connection here.
	}
	for c, cl := range dev.connections {
		if c.isDisconnected.CompareAndSwap(false, true) {
			d.gateway.meter.disconnected.Inc()
			go d.disconnectOne(c, cl, reason)
		}
	}
}

// disconnectOne closes one connection, when its CONNACK was written: no DISCONNECT may come before.
func (d *devices) disconnectOne(c *connection, cl *mqtt.Client, reason packets.Code) {
	select {
	case <-c.connackSent:
		c.limitWrites()
		d.gateway.closeClient(cl, reason)
	case <-c.ctx.Done():
	}
}
