package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// gateway ties broker, client and metrics together.
type gateway struct {
	identity string
	open     bool // --on-unavailable open
	client   *client.Client
	broker   *mqtt.Server
	// forwarder publishes what a shared subscription passes on. It has no connection.
	forwarder    *mqtt.Client
	refreshes    atomic.Uint64 // commands to forget denials
	ended        chan struct{} // closed when the broker has stopped and every connection has ended; nil before the stop
	devices      *devices
	meter        *meter
	log          *slog.Logger
	isStreamLost bool // of commands; only the client's goroutine of commands uses it
}

// addresses tell where the gateway listens, for callers that asked for port 0.
type addresses struct{ mqtt, metrics string }

// run serves until ctx ends, then disconnects everybody, flushes and returns nil. ready, when it is set, is called once
// connections are taken.
func run(ctx context.Context, o *options, log *slog.Logger, ready func(addresses)) error {
	g := &gateway{identity: o.identity, open: o.onUnavailable == "open", log: log}
	copts := o.clientOptions()
	made := make(chan struct{}) // What an earlier run left in the spool is reported as soon as there is a client.
	copts.Reported = func(e client.Event, v client.Verdict) {
		<-made
		g.reported(e, v)
	}
	copts.ProducerShared = func(err error) {
		log.Error("another gateway has the same --producer; give each its own", "producer", o.producer, "error", err)
	}
	copts.CommandStream = func(err error) {
		<-made
		g.streamState(err)
	}
	copts.SpoolFault = func(err error) { log.Error("the spool needs a look", "spool", o.spool.Dir, "error", err) }
	c, err := client.New(copts)
	if err != nil {
		return err
	}
	g.client, g.meter, g.devices = c, newMeter(c), newDevices(g)
	close(made)
	if s := c.Stats(); s.Unasked > 0 {
		log.Info(
			"an earlier run left events in the spool; they are reported first",
			"events",
			s.Unasked,
			"bytes",
			s.SpoolBytes,
		)
	}
	err = g.serve(ctx, o, ready)
	flush, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if closeErr := c.Close(flush); closeErr != nil {
		// The broker has stopped in order, so this is no failed stop.
		log.Warn("some events were not reported to meterd", "error", closeErr)
	}
	if s := c.Stats(); s.Unasked > 0 {
		log.Warn("events stay in the spool for the next start", "events", s.Unasked, "bytes", s.SpoolBytes)
	}
	if g.ended != nil {
		<-g.ended // Every event has its answer or failed, so no connection waits any more.
	}
	log.Info("stopped")
	return err
}

// serve runs the broker until ctx ends.
func (g *gateway) serve(ctx context.Context, o *options, ready func(addresses)) error {
	var at addresses
	if o.metricsListen != "" {
		ln, err := net.Listen("tcp", o.metricsListen)
		if err != nil {
			return fmt.Errorf("listen for metrics: %w", err)
		}
		srv := &http.Server{Handler: g.meter.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
		defer srv.Close()
		go func() { _ = srv.Serve(ln) }() // It ends with Close.
		at.metrics = ln.Addr().String()
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen for MQTT: %w", err)
	}
	defer ln.Close()
	if err := g.startOffline(ctx); err != nil {
		return nil // ctx ended before the first connection: there is nothing to flush.
	}
	following, stopFollowing := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		g.followCommands(following)
		close(followed)
	}()
	defer func() {
		stopFollowing()
		<-followed
	}()
	l := newListener(g, ln)
	g.broker = newBroker(g.log)
	g.forwarder = g.broker.NewClient(nil, mqtt.LocalListener, mqtt.InlineClientId, true)
	g.forwarder.Properties.ProtocolVersion = 5 // For the messages' expiry, which earlier versions have not.
	if err := errors.Join(
		g.broker.AddHook(&hook{gateway: g, seed: maphash.MakeSeed()}, nil),
		g.broker.AddListener(l),
	); err != nil {
		return fmt.Errorf("set up the broker: %w", err)
	}
	if err := g.broker.Serve(); err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	at.mqtt = ln.Addr().String()
	g.log.Info(
		"taking MQTT connections",
		"listen",
		at.mqtt,
		"metrics",
		at.metrics,
		"meterd",
		o.meterdURL,
		"producer",
		o.producer,
	)
	if ready != nil {
		ready(at)
	}
	<-ctx.Done()
	g.log.Info("stopping", "connections", g.meter.connections.Load())
	g.end(l)
	return nil
}

// end stops the broker. Connections end when what they have asked is answered; those that wait longer than stopTimeout
// end when the client is closed.
func (g *gateway) end(l *listener) {
	g.ended = make(chan struct{})
	go func() {
		_ = g.broker.Close() // It always returns nil.
		l.wait()
		close(g.ended)
	}()
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-g.ended:
	case <-limit.C:
	}
}

// startOffline tells meterd that this producer holds no device, before the first one connects. Failing closed, it tries
// until it succeeds or ctx ends, since no device could connect anyway; with last-known, too, since nothing is known
// yet. Failing open, it tries once; the client makes up for it before the first event.
func (g *gateway) startOffline(ctx context.Context) error {
	for wait := offlinePauseMin; ; wait = min(wait*2, offlinePauseMax) {
		n, err := g.client.Offline(ctx)
		if err == nil {
			g.log.Info("told meterd that this gateway starts", "devices_put_offline", n)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if g.open {
			g.log.Warn("meterd cannot be asked; devices are let in unasked", "error", err)
			g.client.OweOffline()
			return nil
		}
		g.log.Warn("meterd cannot be asked; trying again", "error", err, "pause", wait)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newBroker returns a broker with bounds.
func newBroker(log *slog.Logger) *mqtt.Server {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClients = connectionsMax
	caps.MaximumClientWritesPending = writesPendingMax
	caps.MaximumInflight = inflightMax
	caps.MaximumSessionExpiryInterval = sessionExpiryMax
	caps.MaximumPacketSize = packetBytesMax
	caps.ReceiveMaximum = receiveMax
	return mqtt.New(&mqtt.Options{
		Capabilities: caps,
		// The broker holds small writes back while more are queued. The rest of the queue may be denied, and then nothing
		// would push them out: the last message within the quota would stay here. With 1 every packet is written at once.
		ClientNetWriteBufferSize: 1,
		ClientNetReadBufferSize:  brokerReadBufferBytes, // connection.Read has the buffer.
		SysTopicResendInterval:   24 * 3600,             // $SYS is not served (hook.OnACLCheck).
		Logger:                   slog.New(errorsOnly{log.Handler()}),
	})
}

// errorsOnly keeps what the broker logs about single clients and packets out of the log.
type errorsOnly struct{ slog.Handler }

func (errorsOnly) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorsOnly{h.Handler.WithAttrs(attrs)}
}

func (h errorsOnly) WithGroup(name string) slog.Handler { return errorsOnly{h.Handler.WithGroup(name)} }

// ask asks about one event and measures it.
func (g *gateway) ask(e client.Event) (client.Verdict, error) {
	start := time.Now()
	v, err := g.client.Decide(context.Background(), e) // Bounded by --ask-timeout, twice.
	g.meter.asked(e.Type, v, err, time.Since(start))
	return v, err
}

// reported is called with meterd's verdict about an event that had passed unasked. A device that was let in and should
// not have been is disconnected.
func (g *gateway) reported(e client.Event, v client.Verdict) {
	g.meter.reported(e.Type, v)
	if e.Type == event.Connect && !v.Accepted {
		g.devices.disconnect(deviceName{e.Product, e.Device}, disconnectReason(v.Code))
	}
}

// closeClient closes a client's connection, with a DISCONNECT where there is one: 3.1.1 has none from the server.
func (g *gateway) closeClient(cl *mqtt.Client, reason packets.Code) {
	if cl.Properties.ProtocolVersion == 5 {
		_ = g.broker.DisconnectClient(cl, reason) // The connection is closed either way.
	} else {
		cl.Stop(reason)
	}
}
