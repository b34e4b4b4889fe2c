package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/meterd/meterd/event"
)

// Options says what is measured, and on what.
type Options struct {
	// Program is the meterd binary that is started; not used with URL.
	Program string
	// Against is another meterd binary. Everything is measured with both, alternating, Rounds times. Empty: only Program
	// is measured.
	Against string
	// URL is a running daemon that nobody else uses, http://HOST:PORT; Token opens it.
	URL, Token string
	// Dir is the directory in which a fresh data directory is made. It must be on a disk.
	Dir string
	// Keep keeps the data directory.
	Keep bool
	// Scenarios are the names of the scenarios. Empty: a suite, the short one or, with Full, the long one.
	Scenarios []string
	Full      bool
	// Product is created for the run, with an account of the same name.
	Product string
	// Devices is the number of devices.
	Devices int
	// The cases of steady are all combinations of Formats, Batches, Connections and Payloads. Without the last three they
	// are the headline and single events. Other scenarios take the first case. No formats: all.
	Formats                        []string
	Batches, Connections, Payloads []int
	// Draw is how devices are drawn: DrawUniform or DrawZipf.
	Draw string
	// Rounds is how often each side of a comparison is measured; the sides alternate.
	Rounds int
	// Duration is the length of a measured window, Warmup that of the traffic before it.
	Duration, Warmup time.Duration
	// CheckpointEvery is passed to the daemon.
	CheckpointEvery time.Duration
	// Seed is the seed of all draws.
	Seed uint64
	// Samples is how many devices are read back after each case, LogSamples how many of their logs.
	Samples, LogSamples int
	// Progress receives lines for people during the run.
	Progress io.Writer
}

// DefaultOptions returns the headline: a million devices, a minute a case.
func DefaultOptions() Options {
	return Options{
		Dir:             ".",
		Product:         "bench",
		Devices:         1_000_000,
		Duration:        time.Minute,
		Warmup:          3 * time.Second,
		CheckpointEvery: 30 * time.Second,
		Seed:            1,
		Samples:         200,
		LogSamples:      1,
		Draw:            DrawUniform,
		Rounds:          3,
		Progress:        io.Discard,
	}
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("bench: "+format, args...)) }
	within := func(what string, n, least, most int) {
		if n < least || n > most {
			fault("%s %d: must be %d to %d", what, n, least, most)
		}
	}
	_, err := scenariosNamed(o.Scenarios)
	errs = append(errs, err)
	switch {
	case o.URL == "" && o.Program == "":
		fault("there must be a program or an address")
	case o.URL != "":
		address, ok := strings.CutPrefix(o.URL, "http://")
		if _, _, err := net.SplitHostPort(address); err != nil || !ok {
			fault("address %q: must be http://HOST:PORT", o.URL)
		}
		if o.Token == "" {
			fault("a token is needed for %s", o.URL)
		}
	}
	if o.URL != "" && o.Against != "" {
		fault("two daemons are compared that are started here: name no address")
	}
	if o.URL != "" && o.Full {
		fault("the full suite starts daemons of its own: name scenarios for %s", o.URL)
	}
	if !event.ValidName([]byte(o.Product)) || len(o.Product) > productBytesMax {
		fault("product %q: must be 1 to %d bytes of A-Z a-z 0-9 . _ : -", o.Product, productBytesMax)
	}
	within("devices", o.Devices, 1, devicesMax)
	within("samples", o.Samples, 1, samplesMax)
	within("log samples", o.LogSamples, 0, samplesMax)
	within("rounds", o.Rounds, 1, roundsMax)
	for _, format := range o.Formats {
		if !isFormat(format) {
			fault("format %q: must be of %s", format, formatNames())
		}
	}
	if o.Draw != DrawUniform && o.Draw != DrawZipf {
		fault("draw %q: must be %s or %s", o.Draw, DrawUniform, DrawZipf)
	}
	cases := o.cases()
	within("cases", len(cases), 1, casesMax)
	for _, c := range cases {
		within("batch", c.Batch, 1, event.EventsMax)
		within("connections", c.Connections, 1, connectionsMax)
		within("payload", c.Payload, 0, payloadBytesMax)
		if line := len(newTemplate("down", o.Product, true, max(0, c.Payload)).text); c.Batch*line > event.BodyBytesMax {
			fault("batch %d with payload %d: %d bytes are more than a body may have", c.Batch, c.Payload, c.Batch*line)
		}
	}
	if o.Duration < 2*watchEvery {
		fault("duration %s: must be at least %s", o.Duration, 2*watchEvery)
	}
	if o.Warmup <= 0 || o.CheckpointEvery <= 0 {
		fault("warm-up and the time between checkpoints must be positive")
	}
	return errors.Join(errs...)
}
