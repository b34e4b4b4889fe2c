package bench

import "time"

// part is a list of scenarios that run one after the other with one daemon.
type part struct {
	options Options // of the daemon
	steps   []step
}

// step is a scenario with its settings.
type step struct {
	scenario Scenario
	options  Options
	optional bool // it is left out where it cannot run
}

// parts returns the parts of a run: the named scenarios, or a suite.
func (o *Options) parts() []part {
	var list []part
	switch {
	case len(o.Scenarios) > 0:
		p := part{options: *o}
		for _, name := range o.Scenarios {
			p.add(name, nil)
			p.steps[len(p.steps)-1].optional = false
		}
		list = []part{p}
	case o.Full:
		list = o.fullSuite()
	default:
		list = o.shortSuite()
	}
	if o.Against == "" {
		return list
	}
	var apart []part
	for _, p := range list {
		apart = append(apart, p.apart()...)
	}
	return apart
}

// apart returns a part for each scenario, and for each case of steady, so that the windows of two daemons that are
// compared follow each other.
func (p *part) apart() (list []part) {
	for _, s := range p.steps {
		if s.scenario.Name != "steady" {
			list = append(list, part{options: p.options, steps: []step{s}})
			continue
		}
		for _, c := range s.options.cases() {
			one := s
			o := &one.options
			o.Formats, o.Batches, o.Connections = []string{c.Format}, []int{c.Batch}, []int{c.Connections}
			o.Payloads, o.Duration = []int{c.Payload}, c.Duration
			list = append(list, part{options: p.options, steps: []step{one}})
		}
	}
	return list
}

// add adds a scenario. set changes the part's options for it.
func (p *part) add(name string, set func(*Options)) {
	chosen, err := scenariosNamed([]string{name})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	s := step{scenario: chosen[0], options: p.options, optional: true}
	if set != nil {
		set(&s.options)
	}
	p.steps = append(p.steps, s)
}

// window limits the windows of a step. A shorter duration stays.
func window(most time.Duration) func(*Options) {
	return func(o *Options) { o.Duration = min(o.Duration, most) }
}

// shortSuite measures the daemon and the yardsticks within five minutes on two cores. Its headline is a quarter as long
// as that of `steady` alone.
func (o *Options) shortSuite() []part {
	p := part{options: *o}
	p.options.Warmup = min(o.Warmup, time.Second)
	p.options.CheckpointEvery = min(o.CheckpointEvery, 8*time.Second) // So that one falls into the headline's windows.
	p.add("activate", nil)
	p.add("steady", func(o *Options) {
		o.Duration = min(o.Duration, 15*time.Second)
		if len(o.Batches)+len(o.Connections)+len(o.Payloads) == 0 {
			o.Batches, o.Connections = []int{headlineBatch}, []int{headlineConnections}
		}
	})
	p.add("steady", func(o *Options) {
		o.Duration = min(o.Duration, 6*time.Second)
		o.Formats, o.Batches, o.Connections, o.Payloads = o.formats()[:1], []int{1}, singleConnections[:], nil
	})
	p.add("stream", window(2*time.Second))
	p.add("reconnect", nil)
	p.add("hot", window(4*time.Second))
	p.add("denials", window(4*time.Second))
	p.add("midnight", window(6*time.Second))
	p.add("restart", window(5*time.Second))
	p.add("checkpoint", func(o *Options) { o.Duration, o.Rounds = min(o.Duration, 8*time.Second), 2 })
	p.add("redis", window(3*time.Second))
	p.add("victoria", window(5*time.Second))
	return []part{p}
}

// fullSuite runs everything, with headlines of full length.
func (o *Options) fullSuite() []part {
	cases := func(draw string, batches, payloads []int) func(*Options) {
		return func(o *Options) {
			o.Duration = min(o.Duration, 30*time.Second)
			o.Draw, o.Batches, o.Connections, o.Payloads = draw, batches, []int{headlineConnections}, payloads
		}
	}
	half := window(30 * time.Second)

	million := part{options: *o}
	million.add("activate", nil)
	million.add("steady", nil)
	million.add("steady", cases(DrawUniform, []int{10, 100, 5000}, nil))
	million.add("steady", cases(DrawZipf, []int{headlineBatch}, nil))
	million.add("stream", half)
	million.add("reconnect", nil)
	million.add("hot", half)
	million.add("denials", half)
	million.add("midnight", half)
	million.add("restart", nil)
	million.add("checkpoint", nil)
	million.add("cores", half)
	million.add("cluster", nil)
	million.add("redis", nil)
	million.add("victoria", nil)

	payloads := part{options: *o}
	payloads.add("steady", cases(DrawUniform, []int{headlineBatch}, []int{64, 256, 1024}))

	few := part{options: *o}
	few.options.Devices = min(o.Devices, 10_000)
	few.add("steady", nil)

	many := part{options: *o}
	many.options.Devices = 10 * o.Devices
	many.options.Devices = min(many.options.Devices, devicesMax)
	many.add("activate", nil)
	many.add("steady", cases(DrawUniform, []int{headlineBatch}, nil))
	many.add("midnight", half)
	many.add("restart", half)
	many.add("checkpoint", nil)
	return []part{million, payloads, few, many}
}
