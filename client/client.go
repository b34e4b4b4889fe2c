package client

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/client/spool"
	"github.com/meterd/meterd/event"
)

// Client asks one meterd on behalf of one producer. It is safe for concurrent use.
type Client struct {
	opts      *Options
	http      *http.Client
	nodes     *nodes
	header    http.Header // of every request
	seed      maphash.Seed
	lanes     []*lane
	running   sync.WaitGroup  // the lanes
	following sync.WaitGroup  // the goroutines of Commands and of the map
	ctx       context.Context // ends when Close may wait no longer
	cancel    context.CancelFunc
	queue     queue         // of all lanes
	closing   chan struct{} // closed by Close
	closed    sync.Once
	inFlight  atomic.Int64 // requests
	stats     counters

	commandsOpen   atomic.Int64 // streams of commands
	commands       chan Command
	commandsWanted chan struct{} // closed by the first call of Commands
	wanting        sync.Once

	spool      *spool.Spool
	spoolFails atomic.Bool
	recovered  chan struct{} // closed when what an earlier process left was answered

	stream      *stream
	asking      chan struct{} // closed by the first request
	askingOnce  sync.Once
	sequences   sequences
	offlineOwed atomic.Bool
	preparing   chan struct{} // holds a token while a lane prepares for all, so that no batch overtakes it
}

// counters are the monotone figures of Stats.
type counters struct {
	requests, streams, retries, replayed, ambiguous, unaskedLost, producerShared atomic.Uint64
	commands, commandsIgnored, commandStreams, spoolFaults                       atomic.Uint64
}

// Stats are figures of a Client since New.
type Stats struct {
	Requests  uint64 // tries to have a batch decided, those sent again included
	Streams   uint64 // times that the event stream was opened
	Retries   uint64 // of them, with a sequence that was sent before
	Replayed  uint64 // answers that had been given before: their batch was counted by a try whose answer was lost
	Ambiguous uint64 // counted events whose answer never came: they may or may not have been counted
	// events that passed unasked and cannot be reported: there was no room in memory, they were in a file of the spool
	// that is damaged, or, without a spool, they were still owed at Close
	UnaskedLost uint64
	Unasked     int64  // events owed now
	SpoolBytes  int64  // that they take, in memory or in the spool
	SpoolFaults uint64 // times that Options.SpoolFault was told something

	ProducerShared uint64 // times that another client was found to use this producer's name

	Queued   int64 // events waiting for their turn now
	InFlight int64 // requests in flight now

	Commands        uint64 // commands that were handed over
	CommandsIgnored uint64 // events of the stream of commands that this version does not know
	CommandStreams  uint64 // times that the stream was opened
	CommandsOpen    int64  // streams open now
}

// New returns a Client, or every fault of opts. It opens no connection but reads the spool, if there is one: then it
// fails also when another process or another producer has that. Close must be called.
func New(opts Options) (*Client, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("client options: %w", err)
	}
	opts = opts.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		opts:      &opts,
		http:      transport(&opts),
		nodes:     newNodes(opts.URL, opts.Producer),
		header:    header(&opts),
		preparing: make(chan struct{}, 1),
		seed:      maphash.MakeSeed(),
		ctx:       ctx,
		cancel:    cancel,
		closing:   make(chan struct{}),
		queue: queue{
			eventsMax: opts.QueueEventsMax, bytesMax: opts.QueueBytesMax, disconnectsMax: opts.UnaskedEventsMax,
		},
		commands:       make(chan Command),
		commandsWanted: make(chan struct{}),
		recovered:      make(chan struct{}),
		asking:         make(chan struct{}),
	}
	var left []*spool.Batch
	var err error
	if c.spool, left, err = spool.Open(c.spoolOptions()); err != nil {
		cancel()
		return nil, fmt.Errorf("client: %w", err)
	}
	c.stream = &stream{client: c, turn: make(chan struct{}, 1)}
	for range opts.InFlightMax {
		c.lanes = append(c.lanes, &lane{client: c, wake: make(chan struct{}, 1), known: map[deviceKey]known{}})
	}
	// One lane for all that is left: it may have been in other lanes, and all of them wait until it was answered.
	c.lanes[0].owed, c.lanes[0].recovered = left, len(left)
	if len(left) == 0 {
		close(c.recovered)
	}
	for _, l := range c.lanes {
		c.running.Go(l.run)
	}
	c.following.Go(c.followCommands)
	if c.nodes.several() {
		c.following.Go(c.followMap)
	}
	return c, nil
}

func (c *Client) spoolOptions() spool.Options {
	o := spool.Options{
		BytesMax: math.MaxInt64, EventsMax: int64(c.opts.UnaskedEventsMax), Producer: c.opts.Producer, Fault: c.spoolFault,
	}
	if c.opts.Spool.Dir != "" {
		o.Dir, o.BytesMax, o.EventsMax = c.opts.Spool.Dir, c.opts.Spool.BytesMax, math.MaxInt64
	}
	return o
}

// Offline tells meterd that this producer holds no device (it has just started), and returns how many it put offline.
// What an earlier process left in the spool is reported first, since that is older. It fails with an *UnavailableError.
// Repeating it is harmless as long as no device has connected.
func (c *Client) Offline(ctx context.Context) (devices int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	if refusal := c.awaitRecovered(ctx); refusal != nil {
		return 0, refusal
	}
	devices, refusal := c.postOffline(ctx)
	for n := 1; n < len(c.nodes.list) && failed(refusal) && ctx.Err() == nil; n++ {
		devices, refusal = c.postOffline(ctx) // Of another node.
	}
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
// was left unreported, and of how much it is not known whether it was. With a spool that is none: it stays there, and
// the next client reports it. The channel of Commands is closed.
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
	c.following.Wait()
	c.stream.close()
	c.http.CloseIdleConnections()
	return errors.Join(err, c.writeOff())
}

// writeOff counts what is left when nothing is sent any more, unless another client finds it.
func (c *Client) writeOff() (err error) {
	inDoubt, lost := 0, 0
	for _, l := range c.lanes {
		l.owing.Lock()
		defer l.owing.Unlock()
		l.closeTail()
		if c.spool.IsOnDisk() {
			continue
		}
		for _, kept := range l.owed {
			if l.front != nil && l.front.kept == kept && l.front.inDoubt {
				inDoubt += kept.Events()
				l.front.eachPassed(func(_ int, e *Event) {
					if !repeatable(e.Type) {
						c.stats.ambiguous.Add(1)
					}
				})
			} else {
				lost += kept.Events()
			}
			kept.Remove()
		}
		l.owed, l.front = nil, nil
	}
	if inDoubt > 0 {
		err = fmt.Errorf("client: close: of %d events that passed unasked it is not known whether they were counted", inDoubt)
	}
	if lost > 0 {
		c.stats.unaskedLost.Add(uint64(lost))
		err = errors.Join(err, fmt.Errorf("client: close: %d events that passed unasked were not reported", lost))
	}
	return errors.Join(err, c.spool.Close())
}

// Stats returns the client's figures; each is exact, together they are of no one instant.
func (c *Client) Stats() Stats {
	unasked, bytes := c.spool.Held()
	return Stats{
		Requests:        c.stats.requests.Load(),
		Streams:         c.stats.streams.Load(),
		Retries:         c.stats.retries.Load(),
		Replayed:        c.stats.replayed.Load(),
		Ambiguous:       c.stats.ambiguous.Load(),
		UnaskedLost:     c.stats.unaskedLost.Load(),
		ProducerShared:  c.stats.producerShared.Load(),
		Unasked:         unasked,
		SpoolBytes:      bytes,
		SpoolFaults:     c.stats.spoolFaults.Load(),
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
