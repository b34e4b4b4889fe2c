package client

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/event"
)

// Client asks one meterd on behalf of one producer. It is safe for concurrent use.
type Client struct {
	opts        *Options
	http        *http.Client
	eventsURL   string
	offlineURL  string
	producerURL string
	commandsURL string
	header      http.Header // of every request
	seed        maphash.Seed
	lanes       []*lane
	running     sync.WaitGroup
	ctx         context.Context // ends when Close may wait no longer
	cancel      context.CancelFunc
	queue       queue         // of all lanes
	closing     chan struct{} // closed by Close
	closed      sync.Once
	inFlight    atomic.Int64 // requests
	unasked     atomic.Int64 // events owed, all lanes
	stats       counters

	commandsOpen atomic.Int64 // streams of commands

	stream      *stream
	sequences   sequences
	offlineOwed atomic.Bool
	preparing   chan struct{} // holds a token while a lane prepares for all, so that no batch overtakes it
}

// counters are the monotone figures of Stats.
type counters struct {
	requests, streams, retries, replayed, ambiguous, unaskedLost, producerShared atomic.Uint64
	commands, commandsIgnored, commandStreams                                    atomic.Uint64
}

// Stats are figures of a Client since New.
type Stats struct {
	Requests    uint64 // tries to have a batch decided, those sent again included
	Streams     uint64 // times that the event stream was opened
	Retries     uint64 // of them, with a sequence that was sent before
	Replayed    uint64 // answers that had been given before: their batch was counted by a try whose answer was lost
	Ambiguous   uint64 // counted events whose answer never came: they may or may not have been counted
	UnaskedLost uint64 // events that passed unasked and found no room in the tally, or were still owed at Close
	Unasked     int64  // events owed now

	ProducerShared uint64 // times that another client was found to use this producer's name

	Queued   int64 // events waiting for their turn now
	InFlight int64 // requests in flight now

	Commands        uint64 // commands that were handed over
	CommandsIgnored uint64 // events of the stream of commands that this version does not know
	CommandStreams  uint64 // times that the stream was opened
	CommandsOpen    int64  // streams open now
}

// New returns a Client, or every fault of opts. It opens no connection. Close must be called.
func New(opts Options) (*Client, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("client options: %w", err)
	}
	opts = opts.withDefaults()
	base, err := url.Parse(opts.URL)
	if err != nil {
		panic(fmt.Sprintf("BUG: validated URL does not parse: %v", err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		opts:        &opts,
		http:        transport(&opts),
		eventsURL:   base.JoinPath("v1", "events").String(),
		offlineURL:  base.JoinPath("v1", "producers", opts.Producer, "offline").String(),
		producerURL: base.JoinPath("v1", "producers", opts.Producer).String(),
		commandsURL: commandsURL(base, opts.Producer),
		header:      header(&opts),
		preparing:   make(chan struct{}, 1),
		seed:        maphash.MakeSeed(),
		ctx:         ctx,
		cancel:      cancel,
		closing:     make(chan struct{}),
		queue:       queue{eventsMax: opts.QueueEventsMax, bytesMax: opts.QueueBytesMax},
	}
	c.stream = &stream{client: c, url: base.JoinPath("v1", "stream").String(), turn: make(chan struct{}, 1)}
	for range opts.InFlightMax {
		l := &lane{
			client: c,
			wake:   make(chan struct{}, 1),
			owed:   tally{devices: map[deviceKey]*owedDevice{}},
			known:  map[deviceKey]known{},
		}
		c.lanes = append(c.lanes, l)
		c.running.Go(l.run)
	}
	return c, nil
}

// Offline tells meterd that this producer holds no device (it has just started), and returns how many it put offline.
// It fails with an *UnavailableError. Repeating it is harmless as long as no device has connected.
func (c *Client) Offline(ctx context.Context) (devices int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	devices, refusal := c.postOffline(ctx)
	if refusal != nil {
		return 0, refusal
	}
	c.offlineOwed.Store(false)
	return devices, nil
}

// OweOffline makes the Client call Offline by itself before the next batch of events. A gateway that starts while
// meterd is down, and lets devices in all the same, uses it so that a late call cannot put those devices offline.
func (c *Client) OweOffline() { c.offlineOwed.Store(true) }

// Close refuses further events, sends what waits, tries once more, for at most Timeout, to report what is owed, and
// returns when that is done. When ctx ends first, requests are cut off and their events fail. An error says how much
// was left unreported, and of how much it is not known whether it was. It ends Commands too.
func (c *Client) Close(ctx context.Context) error {
	c.closed.Do(func() { close(c.closing) })
	for _, l := range c.lanes {
		l.close()
	}
	finished := make(chan struct{})
	go func() {
		c.running.Wait()
		close(finished)
	}()
	var err error
	select {
	case <-finished:
	case <-ctx.Done():
		err = fmt.Errorf("client: close: %w", context.Cause(ctx))
	}
	c.cancel()
	<-finished
	c.stream.close()
	c.http.CloseIdleConnections()
	return errors.Join(err, c.writeOff())
}

// writeOff counts what is left when nothing is sent any more.
func (c *Client) writeOff() (err error) {
	held := 0
	for _, l := range c.lanes {
		if l.held == nil {
			continue
		}
		for i := range l.held.entries {
			if l.held.entries[i].owed == nil {
				continue
			}
			held++
			if !repeatable(l.held.entries[i].record.typ) {
				c.stats.ambiguous.Add(1)
			}
		}
		l.held = nil
	}
	if held > 0 {
		err = fmt.Errorf("client: close: of %d events that passed unasked it is not known whether they were counted", held)
	}
	if n := c.unasked.Swap(0) - int64(held); n > 0 {
		c.stats.unaskedLost.Add(uint64(n))
		err = errors.Join(err, fmt.Errorf("client: close: %d events that passed unasked were not reported", n))
	}
	return err
}

// Stats returns the client's figures; each is exact, together they are of no one instant.
func (c *Client) Stats() Stats {
	return Stats{
		Requests:        c.stats.requests.Load(),
		Streams:         c.stats.streams.Load(),
		Retries:         c.stats.retries.Load(),
		Replayed:        c.stats.replayed.Load(),
		Ambiguous:       c.stats.ambiguous.Load(),
		UnaskedLost:     c.stats.unaskedLost.Load(),
		ProducerShared:  c.stats.producerShared.Load(),
		Unasked:         c.unasked.Load(),
		Queued:          c.queue.length(),
		InFlight:        c.inFlight.Load(),
		Commands:        c.stats.commands.Load(),
		CommandsIgnored: c.stats.commandsIgnored.Load(),
		CommandStreams:  c.stats.commandStreams.Load(),
		CommandsOpen:    c.commandsOpen.Load(),
	}
}

// lane returns where the events of e's device belong.
func (c *Client) lane(e *Event) *lane {
	h := maphash.String(c.seed, e.Device) ^ maphash.String(c.seed, e.Product)*0x9e3779b97f4a7c15
	return c.lanes[h%uint64(len(c.lanes))]
}

// passes reports whether an event that cannot be asked about passes whatever is known of its device.
func (c *Client) passes(t event.Type) bool {
	return c.opts.OnUnavailable == FailOpen || t == event.Disconnect
}
