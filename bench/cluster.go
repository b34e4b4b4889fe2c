package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// clusterCase is one way to load a cluster.
type clusterCase struct {
	variant string
	owners  int  // nodes that own the cells, as many each
	cells   int  // that are loaded, counted from cell 0; 0: all
	router  bool // through the door of the first node with a token of all accounts; else straight to owners
}

// variantAlone is one daemon that is no node.
const variantAlone = "alone"

// clusterCases are measured in each round, after a daemon alone.
var clusterCases = [...]clusterCase{
	{variant: "one cell", owners: 1, cells: 1},
	{variant: "1 owner", owners: 1},
	{variant: "2 owners", owners: 2},
	{variant: "3 owners", owners: 3},
	{variant: "3 owners, one router", owners: 3, router: true},
}

// cluster measures one daemon, and then three nodes of which one, two and three own what is loaded. What they share is
// the machine: so rates show what it can do, and the processor time of each node what it could do on one of its own.
func cluster(ctx context.Context, r *run) error {
	if r.target.daemon == nil {
		return errNotOurs
	}
	o := *r.o
	o.Duration = min(o.Duration, clusterWindowMax)
	defer func(before *Options) { r.o = before }(r.o)
	r.o = &o
	rounds := o.Rounds
	if o.Against != "" {
		rounds = 1 // Run repeats it.
	}
	for round := range rounds {
		if err := activate(ctx, r); err != nil {
			return err
		}
		alone := ensemble{targets: []*target{r.target}, daemons: []*daemon{r.target.daemon}}
		if err := r.clusterWindow(ctx, &alone, variantAlone, round); err != nil {
			return err
		}
		if err := r.withoutDaemon(ctx, func() error { return r.clusterRound(ctx, round) }); err != nil {
			return err
		}
	}
	return nil
}

// clusterRound measures each case once with fresh nodes.
func (r *run) clusterRound(ctx context.Context, round int) error {
	n, err := startNodes(ctx, r.o)
	if err == nil {
		err = r.clusterWindows(ctx, n, round)
	}
	if err != nil {
		r.say("data and logs of the nodes are kept in %s", n.folder)
	}
	return errors.Join(err, n.close(r.o.Keep || err != nil))
}

func (r *run) clusterWindows(ctx context.Context, n *nodes, round int) error {
	if err := n.spread(ctx, 1); err != nil {
		return err
	}
	alone := r.target
	defer func() { r.target = alone }()
	for _, t := range n.cells {
		r.target = t
		if _, err := r.connectAll(ctx, "activate", t.main, 0); err != nil {
			return err
		}
	}
	for _, c := range clusterCases {
		if err := n.spread(ctx, c.owners); err != nil {
			return err
		}
		e := ensemble{targets: n.cells, daemons: n.daemons, owners: c.owners, caughtUp: n.caughtUp}
		if c.cells > 0 {
			e.targets = n.cells[:c.cells]
		}
		if c.router {
			for _, t := range n.cells {
				t.address, t.bound = n.daemons[0].address, ""
			}
		}
		if err := r.clusterWindow(ctx, &e, c.variant, round); err != nil {
			return fmt.Errorf("%s: %w", c.variant, err)
		}
		m, err := n.look(ctx, n.token)
		if err == nil {
			err = n.owned(m, c.owners)
		}
		if err != nil {
			return fmt.Errorf("%s: after the window: %w", c.variant, err)
		}
	}
	return nil
}

// ensemble is what one load goes to: accounts, and the processes that serve them.
type ensemble struct {
	targets  []*target
	daemons  []*daemon
	owners   int                                 // 0: a daemon alone
	caughtUp func(context.Context) (bool, error) // nil: there are no copies
}

// clusterWindow measures one window, verifies it, and adds its result.
func (r *run) clusterWindow(ctx context.Context, e *ensemble, variant string, round int) error {
	c := r.o.cases()[0]
	c.Format, c.Duration = r.o.formats()[0], r.o.Duration
	l, err := e.open(ctx, c)
	if err != nil {
		return err
	}
	idle, _, err := e.quiet(ctx)
	if err != nil {
		return errors.Join(err, l.close())
	}
	from, err := e.used()
	if err != nil {
		return errors.Join(err, l.close())
	}
	for _, t := range e.targets {
		<-time.After(stageGap - time.Since(t.quiet))
		t.main.begin(t.quiet, "")
	}
	p := &probe{usage: e.usage, metrics: e.metrics}
	j := &job{what: "cluster, " + variant, c: c, warmup: r.o.Warmup, duration: c.Duration}
	o, err := r.drive(ctx, j, l.sessions, p)
	if err != nil {
		return err
	}
	after, finished, err := e.quiet(ctx)
	if err != nil {
		return err
	}
	to, err := e.used()
	if err != nil {
		return err
	}
	for i := range after { // Whatever is above the lesser one was work.
		idle[i] = min(idle[i], after[i])
	}
	l.settle(o.each)
	check, err := e.verify(ctx)
	if err != nil {
		return err
	}
	result := o.result("cluster", &c, p, check)
	result.Variant, result.Cluster = variant, to.minus(from, idle, o.answered)
	result.Cluster.Owners = e.owners
	result.Cluster.Cores = result.CPU.DaemonCores + result.CPU.LoaderCores
	if !finished {
		result.Notes = append(result.Notes, fmt.Sprintf("nodes were still at work %s after the window", quietWithin))
	}
	r.add(result)
	if r.o.Against == "" {
		result.Round = round + 1
	}
	return nil
}

// verify compares the counts of every account.
func (e *ensemble) verify(ctx context.Context) (*Check, error) {
	all := &Check{}
	for _, t := range e.targets {
		check, err := t.verify(ctx, t.main)
		if err != nil {
			return nil, err
		}
		all.Sent += check.Sent
		all.Accepted += check.Accepted
		all.Denied += check.Denied
		all.Logged += check.Logged
		all.LicensesUsed += check.LicensesUsed
		all.DevicesCompared += check.DevicesCompared
		all.DeviceLogsCompared += check.DeviceLogsCompared
	}
	return all, nil
}
