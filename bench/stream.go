package bench

import "context"

const (
	// streamDepth is how many batches a stream has in flight, where it is not one: as many as the daemon allows.
	streamDepth = 64
	// streamConnections are those of single events; the headline has headlineConnections.
	streamConnections = 64
)

// streamRates are the batches a second of the cases with a fixed rate.
var streamRates = [...]int{1000, 10_000, 50_000}

// streamCases returns what the scenario measures: single events with one and with many in flight, at full speed and at
// fixed rates, and batches; each beside the same over HTTP.
func streamCases() (list []Case) {
	single := Case{Format: FormatProtobuf, Batch: 1, Connections: streamConnections}
	onStream := func(c Case, inFlight, rate int) Case {
		c.Stream, c.InFlight, c.Rate = true, inFlight, rate
		return c
	}
	headline := Case{Format: FormatProtobuf, Batch: headlineBatch, Connections: headlineConnections}
	list = append(list, single, onStream(single, 1, 0), onStream(single, streamDepth, 0))
	for _, rate := range streamRates {
		list = append(list, onStream(single, streamDepth, rate))
	}
	return append(list, headline, onStream(headline, 1, 0), onStream(headline, 4, 0))
}

// stream measures event streams, and HTTP beside them. The results of HTTP are named steady, as they always are.
func stream(ctx context.Context, r *run) error {
	if err := activate(ctx, r); err != nil {
		return err
	}
	for _, c := range streamCases() {
		c.Duration = r.o.Duration
		what := "steady"
		if c.Stream {
			what = "stream"
		}
		result, err := r.measure(ctx, r.target.main, c, &job{what: what})
		if err != nil {
			return err
		}
		r.add(result)
	}
	return nil
}

// streamPairs pairs streams with HTTP, and with Redis that gets one command at a time.
func streamPairs(divide func(scenario string, ours Case, peer, variant string, theirs Case)) {
	for _, c := range streamCases() {
		if !c.Stream || c.Rate > 0 {
			continue
		}
		http := c
		http.Stream, http.InFlight = false, 0
		divide("stream", c, "steady", "", http)
		if c.Batch > 1 {
			continue
		}
		for _, mode := range redisModes {
			divide("stream", c, "redis", mode.name, Case{Format: "resp", Batch: 1, Connections: c.Connections})
		}
	}
}
