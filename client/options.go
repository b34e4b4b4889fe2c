package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/meterd/meterd/event"
)

// Policy says what happens to an event that meterd cannot be asked about.
type Policy uint8

// The policies.
const (
	FailClosed Policy = iota // Wait returns an *UnavailableError
	FailOpen                 // the event passes unasked and is reported later
	// LastKnown gives an event the last verdict about its device and kind (connecting, messages, firmware), unasked: what
	// passes is reported later, what is denied is not. A quota's denial ends with its window. A device that is not known
	// is treated as with FailClosed.
	LastKnown
)

// Transport is how batches reach meterd.
type Transport uint8

// The transports.
const (
	OverStream Transport = iota // all on one WebSocket, with the commands: the least time for each
	OverHTTP                    // a request each, for what lies between that lets no WebSocket pass
)

// Spool is a directory of one gateway's own.
type Spool struct {
	Dir      string // made if it is not there; "" for none
	BytesMax int64  // of its files; default 64 MiB, about a million events; a batch a lane that is being sent comes on top
}

// Options of a Client. URL and Producer are needed; every other zero value stands for its default.
type Options struct {
	// URL of meterd, http or https, a path prefix allowed; of several nodes of a cluster, with commas between: one of them
	// is asked, and the next one when it fails
	URL   string
	Token string // bearer token of role gateway; empty sends none
	// Producer is this gateway's name, its own among all gateways: the holder of the devices that connect through it, and
	// whose sequences make retries exact. 1 to 64 bytes of A-Z a-z 0-9 . _ : -
	Producer string

	Transport Transport // default OverStream

	Linger         time.Duration // an event waits at most this long for others; default 1 ms
	BatchEventsMax int           // events a request; default 4096, at most event.EventsMax
	// bytes a request; default 4 MiB, at most event.BodyBytesMax; one event alone may exceed it
	BatchBytesMax  int
	InFlightMax    int // requests at once, and lanes; default 8, at most 64
	QueueEventsMax int // events waiting for their turn; default 65,536
	QueueBytesMax  int // their bytes, encoded; default 64 MiB
	// QueueWaits makes callers wait for room while the queue is full. Otherwise events fail with ErrOverloaded then, or
	// pass unasked where OnUnavailable lets them.
	QueueWaits bool
	// Timeout bounds the wait for a turn, and again asking with all its retries, of which each has a third of it; default
	// 5 s. Longer than a restart of meterd takes, it lets a restart go unnoticed. With several addresses: default 25 s,
	// longer than it takes until another node goes on, and 3 s at most for a try.
	Timeout time.Duration

	OnUnavailable Policy // default FailClosed
	// events kept in memory to be reported later; default 262,144; what was sent and is in doubt may come on top, a batch
	// a lane. With a Spool its bytes are the bound.
	UnaskedEventsMax int

	// Spool, when its Dir is set, keeps on disk what passes unasked and what is in doubt, so that it is counted once even
	// if this process is killed meanwhile. What it cannot keep does not pass: Wait returns an *UnavailableError.
	Spool Spool
	// SpoolFault, when set, is told what a person should look at: that the spool begins to refuse because it is full or
	// cannot be written, and each file that is damaged, which was set aside. It is called as Reported is, and by New.
	SpoolFault func(error)

	// devices whose last verdicts are remembered with LastKnown, about 200 bytes each; default 262,144
	KnownDevicesMax int

	// Tried, when set, is told about each try to have a batch decided, for metrics. It is called as Reported is.
	Tried func(Try)

	// Reported, when set, is told meterd's verdict about an event that had passed unasked (without topic and payload). It
	// is called from a goroutine of the Client, one call at a time a lane, and must not block or call the Client.
	Reported func(Event, Verdict)

	// ProducerShared, when set, is told when another client turns out to use this producer's name (ErrProducerShared),
	// once for each time that the sequences had to be learned anew. It is called as Reported is.
	ProducerShared func(error)

	// HeartbeatTimeout is how long the stream of commands may be silent before it is opened anew; default 45 s, three
	// heartbeats.
	HeartbeatTimeout time.Duration
	// CommandStream, when set, is told how the stream of commands is: nil when it was opened, and why when it broke or
	// could not be opened. It is called from one goroutine, and must not block or call the Client.
	CommandStream func(error)

	// HTTPClient replaces the transport, for TLS or tests. Its Timeout must be 0, redirects are never followed. Default: a
	// client of its own that keeps InFlightMax connections alive and uses no proxy.
	HTTPClient *http.Client
}

// withDefaults returns o with every zero value replaced.
func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.BatchEventsMax, batchEventsDefault)
	def(&o.BatchBytesMax, batchBytesDefault)
	def(&o.InFlightMax, inFlightDefault)
	def(&o.QueueEventsMax, queueEventsDefault)
	def(&o.QueueBytesMax, queueBytesDefault)
	def(&o.UnaskedEventsMax, unaskedEventsDefault)
	def(&o.KnownDevicesMax, knownDevicesDefault)
	if o.Spool.BytesMax == 0 {
		o.Spool.BytesMax = spoolBytesDefault
	}
	if o.Linger == 0 {
		o.Linger = lingerDefault
	}
	if o.Timeout == 0 {
		o.Timeout = timeoutDefault
		if len(addresses(o.URL)) > 1 {
			o.Timeout = timeoutClusterDefault
		}
	}
	if o.HeartbeatTimeout == 0 {
		o.HeartbeatTimeout = heartbeatTimeoutDefault
	}
	return o
}

// Validate reports every fault of o at once, after defaults; nil when there is none.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if err := validateURL(o.URL); err != nil {
		faults = append(faults, err)
	}
	if !event.ValidName([]byte(o.Producer)) {
		fault("producer %q: must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", o.Producer)
	}
	if err := validateToken(o.Token); err != nil {
		faults = append(faults, err)
	}
	within := func(name string, v, upper int) {
		if v < 1 || v > upper {
			fault("%s %d: must be 1 to %d", name, v, upper)
		}
	}
	within("BatchEventsMax", o.BatchEventsMax, event.EventsMax)
	within("BatchBytesMax", o.BatchBytesMax, event.BodyBytesMax-event.PayloadBytesMax*2)
	within("InFlightMax", o.InFlightMax, inFlightLimit)
	within("QueueEventsMax", o.QueueEventsMax, 1<<30)
	within("QueueBytesMax", o.QueueBytesMax, 1<<40)
	within("UnaskedEventsMax", o.UnaskedEventsMax, 1<<30)
	within("KnownDevicesMax", o.KnownDevicesMax, 1<<30)
	if o.Spool.BytesMax < 1 {
		fault("Spool.BytesMax %d: must be positive", o.Spool.BytesMax)
	}
	if o.Linger < 0 || o.Linger > time.Second {
		fault("Linger %v: must be 0 to 1s", o.Linger)
	}
	if o.Timeout < 0 {
		fault("Timeout %v: must not be negative", o.Timeout)
	}
	if o.HeartbeatTimeout < 0 {
		fault("HeartbeatTimeout %v: must not be negative", o.HeartbeatTimeout)
	}
	if o.Transport > OverHTTP {
		fault("Transport %d: must be OverStream or OverHTTP", o.Transport)
	}
	if o.OnUnavailable > LastKnown {
		fault("OnUnavailable %d: must be FailClosed, FailOpen or LastKnown", o.OnUnavailable)
	}
	return errors.Join(faults...)
}

func validateToken(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("token: must be printable ASCII without spaces")
	}
	return nil
}
