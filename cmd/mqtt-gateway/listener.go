package main

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// door is the broker's listener. It is ours because the broker has no hook that is sure to run when a connection ends
// (none does when the CONNACK cannot be written), while here the call that serves a connection returns exactly once.
type door struct {
	gateway  *gateway
	listener net.Listener
	serving  sync.WaitGroup
	closed   atomic.Bool

	mu          sync.Mutex
	connections map[*connection]struct{}
}

// connection is one MQTT connection; the broker's client has it as its Conn.
type connection struct {
	net.Conn
	gateway *gateway
	ctx     context.Context // ends when the connection is closed
	cancel  context.CancelFunc
	client  atomic.Pointer[mqtt.Client] // set by CONNECT
	hurried atomic.Bool

	welcomed  chan struct{} // closed when its CONNACK was written
	dismissed atomic.Bool   // meterd had it closed
	// Set by CONNECT, before anything is delivered, and constant from then on.
	device deviceName
	joined bool // devices.connect was called
	window window
	// exchanges are the session's; set before the session is taken over, and constant from then on.
	exchanges *exchanges
	// The goroutine that reads owns these.
	in        packetReader
	idle      time.Duration // how long the device may be silent; 0 is for ever
	receiving *exchange     // of the QoS 2 message that is being processed
	warned    bool          // a message that can never be valid was logged

	denied atomic.Pointer[denial] // of the last delivery; nil when it was accepted
}

func newDoor(g *gateway, ln net.Listener) *door {
	return &door{gateway: g, listener: ln, connections: map[*connection]struct{}{}}
}

// ID, Address, Protocol and Init are what the broker wants of a listener.
func (d *door) ID() string              { return "mqtt" }
func (d *door) Address() string         { return d.listener.Addr().String() }
func (d *door) Protocol() string        { return "tcp" }
func (d *door) Init(*slog.Logger) error { return nil }

// Serve takes connections until Close. A failed accept (no file descriptors left) is no reason to stop.
func (d *door) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) || d.closed.Load() {
			if conn != nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil {
			d.gateway.meter.dropped.accept.Inc()
			time.Sleep(50 * time.Millisecond) // What is short is short for everybody; asking again at once would only burn CPU.
			continue
		}
		c := d.connection(conn)
		if !d.enter(c) {
			d.gateway.meter.dropped.connections.Inc()
			_ = c.Close()
			continue
		}
		go d.serve(c, establish)
	}
}

// connection returns our side of conn.
func (d *door) connection(conn net.Conn) *connection {
	c := &connection{Conn: conn, gateway: d.gateway, welcomed: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.in = packetReader{from: bufio.NewReaderSize(conn, readBufferBytes), max: packetBytesMax, oversized: c.oversized}
	return c
}

// enter counts c in; false when there are too many, or when the door is closed.
func (d *door) enter(c *connection) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.connections) >= connectionsMax || d.closed.Load() {
		return false
	}
	d.connections[c] = struct{}{}
	d.serving.Add(1)
	d.gateway.meter.connections.Add(1)
	return true
}

// serve runs one connection to its end.
func (d *door) serve(c *connection, establish listeners.EstablishFn) {
	defer d.serving.Done()
	_ = c.Conn.SetReadDeadline(time.Now().Add(connectTimeout))
	_ = establish(d.ID(), c) // Why it ended is the client's affair, and counted by the broker.
	_ = c.Close()
	if c.joined {
		d.gateway.devices.leave(c)
	}
	d.mu.Lock()
	delete(d.connections, c)
	d.mu.Unlock()
	d.gateway.meter.connections.Add(-1)
}

// Close is called by the broker when it stops. What the broker would do about its clients is done here instead, because
// its list of them (Clients.GetByListener) takes a read lock twice, which locks up when a client leaves at that moment.
func (d *door) Close(listeners.CloseFn) {
	d.mu.Lock()
	d.closed.Store(true)
	open := make([]*connection, 0, len(d.connections))
	for c := range d.connections {
		open = append(open, c)
	}
	d.mu.Unlock()
	_ = d.listener.Close()
	for _, c := range open {
		c.hurry()
	}
	for _, c := range open {
		if cl := c.client.Load(); cl != nil {
			d.gateway.farewell(cl, packets.ErrServerShuttingDown)
		}
		_ = c.Close() // One that has not said CONNECT yet has no client.
	}
}

// wait returns when every connection has ended and its disconnect was handed in.
func (d *door) wait() { d.serving.Wait() }

// Write writes within writeTimeout or closes the connection: the broker holds a lock meanwhile that publishers need.
func (c *connection) Write(b []byte) (int, error) {
	if !c.hurried.Load() {
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// hurry lets no write last longer than farewellTimeout from now.
func (c *connection) hurry() {
	c.hurried.Store(true)
	_ = c.SetWriteDeadline(time.Now().Add(farewellTimeout))
}

// Close closes the socket and ends every wait for it.
func (c *connection) Close() error {
	c.cancel()
	return c.Conn.Close()
}

// Read reads what the device sends, in one goroutine: see packetReader.
func (c *connection) Read(b []byte) (int, error) { return c.in.Read(b) }

// SetDeadline is how the broker applies the keep-alive. It concerns reading; were it to move the deadline of a write
// under way, a client that sends but does not read could hold that write for ever.
func (c *connection) SetDeadline(t time.Time) error {
	c.idle = 0
	if !t.IsZero() {
		c.idle = time.Until(t)
	}
	return c.SetReadDeadline(t)
}

// extendRead applies the keep-alive again.
func (c *connection) extendRead() {
	var deadline time.Time
	if c.idle > 0 {
		deadline = time.Now().Add(c.idle)
	}
	_ = c.SetReadDeadline(deadline) // One that cannot be set is of a closed connection.
}
