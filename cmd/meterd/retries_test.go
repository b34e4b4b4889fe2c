package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// chaos is what TestRetries runs: gateways, the wire between them and the daemon, and who looks at every answer.
type chaos struct {
	t        *testing.T
	d        *daemon
	wire     *wire
	witness  *witness
	gateways []*gateway
	running  sync.WaitGroup
	kills    int
	early    int // of them before the daemon was ready
}

// TestRetries: eight gateways send over a network that cuts, delays and doubles, to a daemon that is killed at random
// instants, and send each request until it is answered. What they saw accepted is counted and logged, for each device,
// without a difference of one; and every answer to one sequence is the same, byte for byte. METERD_TEST_KILLS sets how
// often it is killed.
func TestRetries(t *testing.T) {
	t.Parallel()
	kills := 12
	if testing.Short() {
		kills = 4
	}
	if given := os.Getenv("METERD_TEST_KILLS"); given != "" {
		var err error
		if kills, err = strconv.Atoi(given); err != nil {
			t.Fatalf("METERD_TEST_KILLS: %v", err)
		}
	}
	n := seed(t)
	dice := newDice(n, 0)
	began := time.Now()
	c := newChaos(t, n)
	for c.kills < kills && !t.Failed() {
		c.progress(40)
		c.killAfter(time.Duration(dice.Int64N(int64(200 * time.Millisecond))))
		if c.kills < kills && c.kills%4 == 3 {
			c.d.launch() // Recovery is killed as well.
			c.killAfter(time.Duration(dice.Int64N(int64(80 * time.Millisecond))))
			c.early++
		}
		c.d.start()
		c.wire.aim(c.d.run.address)
	}
	c.finish()
	c.check(began)
}

// newChaos starts the daemon and all that talks to it.
func newChaos(t *testing.T, n uint64) *chaos {
	t.Helper()
	c := &chaos{t: t, d: newDaemon(t, "--checkpoint-every", "50ms"), witness: newWitness()}
	for _, crowd := range crowds() {
		c.d.withProduct(crowd.product, crowd.plan)
		c.d.withoutGifts(crowd.product)
		c.d.credit(crowd.product, "LOT", crowd.licenses)
	}
	c.d.topup("busy", "PACK", 60)
	c.wire = newWire(t, newDice(n, 1), c.witness.see)
	c.wire.aim(c.d.run.address)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		c.running.Wait()
	})
	for i, inFlight := range []int{inFlightMost, inFlightMost, 48, 32, 24, 16, 8, 4} {
		g := newGateway(
			ctx,
			t,
			fmt.Sprintf("gw-%d", i),
			inFlight,
			newDice(n, uint64(2+i)),
			"http://"+c.wire.listener.Addr().String(),
			c.d.token,
		)
		c.gateways = append(c.gateways, g)
		c.running.Go(g.run)
	}
	return c
}

// replaysAKill is how many replayed answers reach a gateway for each kill, at least: then the network was bad enough.
const replaysAKill = 10

// progress returns when n more sequences have been answered, and enough answers were replays.
func (c *chaos) progress(n int64) {
	c.t.Helper()
	from, _ := c.answers()
	await(c.t, fmt.Sprintf("%d sequences are answered", n), func() bool {
		answers, replayed := c.answers()
		return answers >= from+n && replayed >= int64(replaysAKill*(c.kills+2)) || c.t.Failed() // Two kills may follow.
	})
}

// answers returns how many sequences have been answered to their gateways, and how many of the answers were replays.
func (c *chaos) answers() (answers, replayed int64) {
	for _, g := range c.gateways {
		answers, replayed = answers+g.answers.Load(), replayed+g.replayed.Load()
	}
	return answers, replayed
}

// killAfter kills the daemon after a while.
func (c *chaos) killAfter(while time.Duration) {
	c.t.Helper()
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.d.run.exited:
		c.t.Fatalf("the daemon ended by itself:\n%s", c.d.run.said())
	}
	c.d.kill()
	c.kills++
}

// finish lets everything that was begun be answered, over the same bad network.
func (c *chaos) finish() {
	c.t.Helper()
	for _, g := range c.gateways {
		g.end()
	}
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	for before := int64(-1); ; {
		select {
		case <-done:
			return
		case <-time.After(patience):
			answers, _ := c.answers()
			if answers == before {
				c.t.Fatalf("requests stay without an answer:\n%s", c.d.run.said())
			}
			before = answers
		}
	}
}

// check compares, asks for the last answers again after one kill more, and compares again.
func (c *chaos) check(began time.Time) {
	t := c.t
	c.compare()
	c.d.kill()
	c.d.start()
	again := 0
	for _, g := range c.gateways {
		again += c.askAgain(g)
	}
	accepted, denied := c.compare()
	sequences, replayed := c.answers()
	var broken, refused int64
	for _, g := range c.gateways {
		broken, refused = broken+g.broken.Load(), refused+g.refused.Load()
	}
	w := c.witness
	var done []string
	for f := range c.wire.happened {
		done = append(done, strconv.FormatInt(c.wire.happened[f].Load(), 10))
	}
	t.Logf(
		"%d kills, %d of them in recovery; %d sequences answered, %d attempts without an answer, %d refused for the moment; "+
			"%d replayed answers at the gateways, %d of %d on the wire, all the same as before "+
			"(%d stray copies came too late), "+
			"%d more asked for at the end; %d events, %d accepted and %d denied: as answered = counted = logged; %.0f s; "+
			"fates %s",
		c.kills,
		c.early,
		sequences,
		broken,
		refused,
		replayed,
		w.replayed,
		w.answers,
		w.tooOld,
		again,
		accepted+denied,
		accepted,
		denied,
		time.Since(began).Seconds(),
		strings.Join(done, " "),
	)
}

// compare fails the test for every difference.
func (c *chaos) compare() (accepted, denied uint64) {
	c.t.Helper()
	comparison := newComparison(c.d, c.gateways)
	accepted, denied = comparison.run()
	c.witness.mu.Lock()
	faults := append(comparison.faults, c.witness.faults...)
	c.witness.mu.Unlock()
	if len(faults) > 0 {
		c.t.Fatalf("%d differences:\n%s", len(faults), strings.Join(faults[:min(20, len(faults))], "\n"))
	}
	return accepted, denied
}

// askAgain asks for the last 256 answers of a gateway once more, past the wire, and looks at what is known of the
// gateway.
func (c *chaos) askAgain(g *gateway) int {
	c.t.Helper()
	last := g.all[max(0, len(g.all)-256):]
	for _, r := range last {
		seq := strconv.FormatUint(r.sequence, 10)
		a := c.d.ask(
			"POST",
			"/v1/events",
			string(r.body),
			"Content-Type",
			r.kind,
			"Meterd-Producer",
			g.name,
			"Meterd-Sequence",
			seq,
		)
		if a.header.Get("Meterd-Replayed") != "true" || a.signature() != c.witness.first[g.name+" "+seq] {
			c.t.Fatalf(
				"%s, sequence %s at the end: %s\nand before: %s",
				g.name,
				seq,
				a.signature(),
				c.witness.first[g.name+" "+seq],
			)
		}
	}
	var v producerView
	c.d.must("GET", "/v1/producers/"+g.name, "", &v)
	if v.Producer != g.name || v.Last == nil || *v.Last != last[len(last)-1].sequence || v.Oldest == nil ||
		*v.Oldest > last[0].sequence {
		c.t.Errorf("%s sent %d to %d last, and is known as %+v", g.name, last[0].sequence, last[len(last)-1].sequence, v)
	}
	return len(last)
}

// producerView is what the daemon knows of a producer.
type producerView struct {
	Producer string
	Last     *uint64 `json:"last_sequence"`
	Oldest   *uint64 `json:"oldest_remembered"`
}

// String shows numbers, not where they are.
func (v producerView) String() string {
	b, _ := json.Marshal(v) // It is plain data.
	return string(b)
}
