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

// listener accepts connections and gives them to the broker. The gateway has its own because the broker has no hook
// that is sure to run when a connection ends (none does when the CONNACK cannot be written), while here the call that
// serves a connection returns exactly once.
type listener struct {
	gateway *gateway
	socket  net.Listener
	serving sync.WaitGroup
	closed  atomic.Bool

	mu          sync.Mutex
	connections map[*connection]struct{}
}

// connection is one MQTT connection; the broker's client has it as its Conn.
type connection struct {
	net.Conn
	gateway   *gateway
	ctx       context.Context // ends when the connection is closed
	cancel    context.CancelFunc
	client    atomic.Pointer[mqtt.Client] // set by CONNECT
	isClosing atomic.Bool                 // limitWrites was called

	connackSent    chan struct{} // closed when its CONNACK was written
	isDisconnected atomic.Bool   // closed by a command of meterd's
	// Set by CONNECT, before anything is delivered, and constant from then on.
	device deviceName
	joined bool // devices.connect was called
	window window
	// exchanges are the session's. Set before the session is taken over, and constant from then on.
	exchanges *exchanges
	// The goroutine that reads owns these.
	in        packetReader
	idle      time.Duration // how long the device may be silent; 0 is for ever
	receiving *exchange     // of the QoS 2 message that is being processed
	warned    bool          // a message that can never be valid was logged

	denied atomic.Pointer[denial] // of the last delivery; nil when it was accepted
}

func newListener(g *gateway, ln net.Listener) *listener {
	return &listener{gateway: g, socket: ln, connections: map[*connection]struct{}{}}
}

// ID, Address, Protocol and Init are of the broker's interface.
func (l *listener) ID() string              { return "mqtt" }
func (l *listener) Address() string         { return l.socket.Addr().String() }
func (l *listener) Protocol() string        { return "tcp" }
func (l *listener) Init(*slog.Logger) error { return nil }

// Serve takes connections until Close. A failed accept (no file descriptors left) is no reason to stop.
func (l *listener) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := l.socket.Accept()
		if errors.Is(err, net.ErrClosed) || l.closed.Load() {
			if conn != nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil {
			l.gateway.meter.dropped.accept.Inc()
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // An accept at once would fail for the same reason.
			continue
		}
		c := l.connection(conn)
		if !l.admit(c) {
			l.gateway.meter.dropped.connections.Inc()
			_ = c.Close()
			continue
		}
		go l.serve(c, establish)
	}
}

// connection returns the gateway's side of conn.
func (l *listener) connection(conn net.Conn) *connection {
	c := &connection{Conn: conn, gateway: l.gateway, connackSent: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.in = packetReader{from: bufio.NewReaderSize(conn, readBufferBytes), max: packetBytesMax, oversized: c.oversized}
	return c
}

// admit adds c to the open connections; false when there are too many, or when the listener is closed.
func (l *listener) admit(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.connections) >= connectionsMax || l.closed.Load() {
		return false
	}
	l.connections[c] = struct{}{}
	l.serving.Add(1)
	l.gateway.meter.connections.Add(1)
	return true
}

// serve runs one connection to its end.
func (l *listener) serve(c *connection, establish listeners.EstablishFn) {
	defer l.serving.Done()
	_ = c.Conn.SetReadDeadline(time.Now().Add(connectTimeout))
	_ = establish(l.ID(), c) // The broker counts why it ended.
	_ = c.Close()
	if c.joined {
		l.gateway.devices.leave(c)
	}
	l.mu.Lock()
	delete(l.connections, c)
	l.mu.Unlock()
	l.gateway.meter.connections.Add(-1)
}

// Close is called by the broker when it stops. What the broker would do about its clients is done here instead, because
// its list of them (Clients.GetByListener) takes a read lock twice, which locks up when a client leaves at that moment.
func (l *listener) Close(listeners.CloseFn) {
	l.mu.Lock()
	l.closed.Store(true)
	open := make([]*connection, 0, len(l.connections))
	for c := range l.connections {
		open = append(open, c)
	}
	l.mu.Unlock()
	_ = l.socket.Close()
	for _, c := range open {
		c.limitWrites()
	}
	for _, c := range open {
		if cl := c.client.Load(); cl != nil {
			l.gateway.closeClient(cl, packets.ErrServerShuttingDown)
		}
		_ = c.Close() // One that has not said CONNECT yet has no client.
	}
}

// wait returns when every connection has ended and its disconnect was handed in.
func (l *listener) wait() { l.serving.Wait() }

// Write writes within writeTimeout or closes the connection: the broker holds a lock meanwhile that publishers need.
func (c *connection) Write(b []byte) (int, error) {
	if !c.isClosing.Load() {
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// limitWrites lets no write last longer than lastWriteTimeout from now.
func (c *connection) limitWrites() {
	c.isClosing.Store(true)
	_ = c.SetWriteDeadline(time.Now().Add(lastWriteTimeout))
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
