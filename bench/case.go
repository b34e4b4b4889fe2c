package bench

import (
	"fmt"
	"time"
)

// Case is one setting of a load.
type Case struct {
	Format      string `json:"format"`
	Batch       int    `json:"batch"`
	Connections int    `json:"connections"`
	Payload     int    `json:"payload_bytes"`
	Draw        string `json:"draw,omitempty"`  // empty: uniform
	Among       int    `json:"among,omitempty"` // devices that are drawn at any one time; 0: all
	// Stream says that batches go over event streams. InFlight is how many each has in flight; Rate is how many are sent
	// a second on all together, 0 as many as can be.
	Stream   bool          `json:"stream,omitempty"`
	InFlight int           `json:"in_flight,omitempty"`
	Rate     int           `json:"rate_per_second,omitempty"`
	Duration time.Duration `json:"-"`
}

// among returns how many devices of a fleet are drawn at any one time.
func (c Case) among(fleet int) int {
	if c.Among == 0 {
		return fleet
	}
	return min(c.Among, fleet)
}

// String names a case in tables and progress.
func (c Case) String() string {
	s := fmt.Sprintf("%s batch=%d conns=%d", c.Format, c.Batch, c.Connections)
	if c.Stream {
		s += fmt.Sprintf(" in-flight=%d", c.InFlight)
	}
	if c.Rate > 0 {
		s += fmt.Sprintf(" rate=%d", c.Rate)
	}
	if c.Payload > 0 {
		s += fmt.Sprintf(" payload=%d", c.Payload)
	}
	if c.Draw == DrawZipf {
		s += " zipf"
	}
	if c.Among > 0 {
		s += fmt.Sprintf(" devices=%d", c.Among)
	}
	return s
}

// The headline is the case whose rate is given as the daemon's speed.
const (
	headlineBatch       = 1000
	headlineConnections = 32
)

// singleConnections are the numbers of connections in the cases with one event a request.
var singleConnections = [...]int{64, 256}

// headlineCases are run when no case is named: the headline in each format, and single events for a quarter of its
// time.
func headlineCases(formats []string, draw string, headline time.Duration) (list []Case) {
	for _, format := range formats {
		list = append(list, Case{
			Format: format, Batch: headlineBatch, Connections: headlineConnections, Draw: draw, Duration: headline,
		})
	}
	for _, format := range formats {
		for _, connections := range singleConnections {
			list = append(list, Case{Format: format, Batch: 1, Connections: connections, Draw: draw, Duration: headline / 4})
		}
	}
	return list
}

// cases returns the cases that steady runs.
func (o *Options) cases() (list []Case) {
	draw := o.Draw
	if draw == DrawUniform {
		draw = ""
	}
	if len(o.Batches)+len(o.Connections)+len(o.Payloads) == 0 {
		return headlineCases(o.formats(), draw, o.Duration)
	}
	or := func(given []int, otherwise int) []int {
		if len(given) == 0 {
			return []int{otherwise}
		}
		return given
	}
	for _, format := range o.formats() {
		for _, payload := range or(o.Payloads, 0) {
			for _, batch := range or(o.Batches, headlineBatch) {
				for _, connections := range or(o.Connections, headlineConnections) {
					list = append(list, Case{
						Format: format, Batch: batch, Connections: connections, Payload: payload, Draw: draw, Duration: o.Duration,
					})
				}
			}
		}
	}
	return list
}

// formats returns the formats that are measured.
func (o *Options) formats() []string {
	if len(o.Formats) == 0 {
		return formats[:]
	}
	return o.Formats
}
