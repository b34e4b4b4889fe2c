package metric

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// ContentType is that of what Text returns.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Set is a set of families. It is safe for concurrent use.
type Set struct {
	mu       sync.Mutex
	families []*family // by name
}

// family is all samples of one name.
type family struct {
	name, help, kind string
	samples          *metrics.Set
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{} }

// Counters is a family of numbers that only grow.
type Counters struct{ f *family }

// Counters registers a family. Its name ends in _total; help is a sentence.
func (s *Set) Counters(name, help string) Counters {
	return Counters{s.register(name, help, "counter")}
}

// Of returns the counter with these labels (name, value, name, value …), made at the first call.
func (c Counters) Of(labels ...string) *metrics.Counter {
	return c.f.samples.GetOrCreateCounter(sample(c.f.name, labels))
}

// Func adds a counter with these labels that is kept elsewhere: f says how much it is, and never less than before.
func (c Counters) Func(f func() float64, labels ...string) {
	c.f.samples.NewGauge(sample(c.f.name, labels), f) // Only a gauge is asked for its value.
}

// Gauges is a family of numbers that rise and fall.
type Gauges struct{ f *family }

// Gauges registers a family; help is a sentence.
func (s *Set) Gauges(name, help string) Gauges { return Gauges{s.register(name, help, "gauge")} }

// Func adds a gauge with these labels (name, value, name, value …); f is called for every reading.
func (g Gauges) Func(f func() float64, labels ...string) {
	g.f.samples.NewGauge(sample(g.f.name, labels), f)
}

// Whether adds a gauge with these labels that is 1 while f says so, and 0 otherwise; f is called for every reading.
func (g Gauges) Whether(f func() bool, labels ...string) {
	g.Func(func() float64 {
		if f() {
			return 1
		}
		return 0
	}, labels...)
}

// Histogram registers a histogram whose buckets end at bounds, which rise; help is a sentence.
func (s *Set) Histogram(name, help string, bounds []float64) *metrics.PrometheusHistogram {
	return s.register(name, help, "histogram").samples.NewPrometheusHistogramExt(name, bounds)
}

// Text returns everything in the set and what is known of the process.
func (s *Set) Text() []byte { return Text(Part{Set: s}) }

// Part is a set whose samples get one more label; without a name they get none.
type Part struct {
	Set          *Set
	Label, Value string
}

// Text returns everything in the sets, each family once, and what is known of the process. Sets that have a family in
// common differ in their label.
func Text(parts ...Part) []byte {
	type piece struct {
		*family
		part Part
	}
	var pieces []piece
	for _, p := range parts {
		p.Set.mu.Lock()
		for _, f := range p.Set.families {
			pieces = append(pieces, piece{f, p})
		}
		p.Set.mu.Unlock()
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return strings.Compare(a.name, b.name) })
	var text, samples bytes.Buffer
	written := ""
	for _, p := range pieces {
		samples.Reset()
		if p.samples.WritePrometheus(&samples); samples.Len() == 0 {
			continue
		}
		if p.name != written {
			writeHead(&text, p.name, p.help, p.kind)
			written = p.name
		}
		writeLabelled(&text, samples.Bytes(), p.part)
	}
	writeProcess(&text)
	return text.Bytes()
}

// writeLabelled writes samples with the label of their part.
func writeLabelled(to *bytes.Buffer, samples []byte, part Part) {
	if part.Label == "" {
		to.Write(samples)
		return
	}
	for line := range bytes.Lines(samples) {
		name, rest := line, []byte(nil)
		if end := bytes.IndexAny(line, "{ "); end >= 0 {
			name, rest = line[:end], line[end:]
		}
		fmt.Fprintf(to, "%s{%s=%q", name, part.Label, part.Value)
		if labels, has := bytes.CutPrefix(rest, []byte("{")); has {
			to.WriteByte(',')
			to.Write(labels)
			continue
		}
		to.WriteByte('}')
		to.Write(rest)
	}
}

func writeHead(b *bytes.Buffer, name, help, kind string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var (
	goodName = regexp.MustCompile(`^meterd(_[a-z0-9]+)+$`)
	goodHelp = regexp.MustCompile(`^[A-Z][^\n\\]* [^\n\\]*[^\n\\.]\.$`)
	reserved = []string{"_total", "_sum", "_count", "_bucket"}
)

// register adds a family, or panics.
func (s *Set) register(name, help, kind string) *family {
	isCounter := strings.HasSuffix(name, "_total")
	isReserved := slices.ContainsFunc(reserved, func(end string) bool { return strings.HasSuffix(name, end) })
	switch {
	case !goodName.MatchString(name):
		panic(fmt.Sprintf("BUG: metric %q: a name is meterd_ and then lower-case words", name))
	case !goodHelp.MatchString(help):
		panic(fmt.Sprintf("BUG: metric %q: %q is no sentence of help", name, help))
	case isCounter != (kind == "counter"), isReserved != isCounter:
		panic(fmt.Sprintf("BUG: metric %q: the name does not fit a %s", name, kind))
	}
	f := &family{name: name, help: help, kind: kind, samples: metrics.NewSet()}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, is := slices.BinarySearchFunc(
		s.families,
		name,
		func(f *family, name string) int { return strings.Compare(f.name, name) },
	)
	if is {
		panic(fmt.Sprintf("BUG: metric %q is registered twice", name))
	}
	s.families = slices.Insert(s.families, i, f)
	return f
}

// sample returns the name of a sample with its labels.
func sample(family string, labels []string) string {
	if len(labels)%2 != 0 {
		panic(fmt.Sprintf("BUG: metric %q: a label without a value", family))
	}
	if len(labels) == 0 {
		return family
	}
	b := append([]byte(family), '{')
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%s=%q", labels[i], labels[i+1])
	}
	return string(append(b, '}'))
}
