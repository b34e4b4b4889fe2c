package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/bench/powercut"
)

// TestPowerCutWhileTheLedgerLags cuts the power right after a burst of activations, when the ledger is behind the log,
// and in the middle of the transaction in which it catches up. After the restart every licence that was acknowledged is
// listed once, and the list, the pool and the devices agree.
func TestPowerCutWhileTheLedgerLags(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE, and some seconds")
	}
	t.Parallel()
	n := seed(t)
	dice := newDice(n, 0)
	r := newBareRig(t, powercut.Options{})
	r.d.withProduct("p1", `{}`)
	r.d.credit("p1", "PO-1", 1_000_000)
	const cuts = 16
	activated, within, unanswered := 0, 0, 0
	for cut := range cuts {
		burst := 1 + dice.IntN(400)
		lines := make([]string, burst)
		for i := range lines {
			lines[i] = line("connect", "p1", fmt.Sprintf("d%d.%d", cut, i))
		}
		inView := cut%2 == 1
		if inView {
			if err := r.disk.CutAfter(1+dice.Uint64N(3), "data/ledger", dice.Uint64()|1); err != nil {
				t.Fatal(err)
			}
		}
		a, err := r.d.try("POST", "/v1/events", []byte(strings.Join(lines, "\n")), "Content-Type", asNDJSON)
		// Badger still writes what it recovered at the start, so such a cut may come before the batch is decided.
		isAnswered := err == nil && a.status == 200
		switch {
		case isAnswered:
			activated += burst
		case inView:
			unanswered++
		default:
			t.Fatalf("a batch of %d: %d %s %v", burst, a.status, a.body, err)
		}
		if inView { // Who lists licences waits for the view to catch up, which it cannot: its disk is gone.
			if a, err := r.d.try("GET", "/v1/products/p1/licenses", nil); err != nil || a.status == 503 {
				within++
			}
		}
		if err := r.disk.CutKeeping(dice.Uint64() | 1); err != nil {
			t.Fatal(err)
		}
		r.d.kill()
		r.mount(weather(dice))
		r.d.start()
		r.ledgerIsWhole()
		v, devices, serials := r.d.product("p1"), map[string]bool{}, map[uint64]bool{}
		listed := r.d.licenses("p1")
		if !isAnswered && len(listed) == activated+burst {
			activated += burst // All of it was stored, though nobody heard.
		}
		for _, l := range listed {
			devices[l.Device], serials[l.Serial] = true, true
		}
		if len(listed) != activated || len(devices) != activated || len(serials) != activated ||
			v.Licenses.Used != uint64(activated) || v.Devices.Active != activated {
			t.Fatalf(
				"after cut %d: %d activations were acknowledged; %d licences of %d devices with %d serials are listed, %+v %+v",
				cut,
				activated,
				len(listed),
				len(devices),
				len(serials),
				v.Licenses,
				v.Devices,
			)
		}
	}
	if within == 0 {
		t.Error("no cut fell into a transaction of the ledger")
	}
	t.Logf(
		"%d cuts, %d of them within a transaction of the ledger, %d before a batch was answered; %d activations, all listed",
		cuts,
		within,
		unanswered,
		activated,
	)
}

// TestRestartAfterAFailedSync: a sync of the log fails with EIO, and the daemon ends without an answer. The one that is
// started next sees in the page cache what the disk may have lost. Then the disk loses its cache: whatever that daemon
// answered, a repeated sequence too, is there.
func TestRestartAfterAFailedSync(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE")
	}
	t.Parallel()
	n := seed(t)
	dice := newDice(n, 0)
	r := newBareRig(t, powercut.Options{})
	r.d.withProduct("p1", `{"messages_per_day":1000000}`)
	r.d.batch(line("connect", "p1", "d1"))
	answers, replayed := map[int]answer{}, 0
	const rounds = 10
	send := func(sequence int) answer {
		a := r.d.sequenced("gw", fmt.Sprint(sequence), asJSON, line("up", "p1", "d1"))
		if first, ok := answers[sequence]; ok {
			a.replays(t, first)
		} else if a.status != 200 {
			t.Errorf("sequence %d: %d %s", sequence, a.status, a.body)
		}
		answers[sequence] = a
		return a
	}
	for round := range rounds {
		first := 3*round + 1
		send(first)
		lost := dice.Uint64()
		if round == 0 {
			lost = 0 // All of it.
		}
		if err := r.disk.FailSync("data/log/segment-", lost); err != nil {
			t.Fatal(err)
		}
		a, err := r.d.try("POST", "/v1/events", []byte(line("up", "p1", "d1")), "Meterd-Producer", "gw",
			"Meterd-Sequence", fmt.Sprint(first+1))
		if err == nil && a.status == 200 {
			t.Fatalf("it was answered %s, and its sync failed", a.body)
		}
		r.d.awaitExit(1)
		r.d.start() // On the same disk.
		if send(first+1).header.Get("Meterd-Replayed") != "" {
			replayed++
		}
		send(first)
		send(first + 2)
		if err := r.disk.Cut(); err != nil {
			t.Fatal(err)
		}
		r.d.kill()
		r.mount(powercut.Options{})
		r.d.start()
		r.ledgerIsWhole()
		for sequence := range answers {
			send(sequence)
		}
		if got := r.d.device("p1", "d1").Messages.Up; got != uint64(len(answers)) {
			t.Fatalf("round %d: %d messages were acknowledged, %d are counted", round, len(answers), got)
		}
	}
	t.Logf("%d failed syncs, %d answers, all there; of the groups whose sync failed %d were found by the next daemon",
		rounds, len(answers), replayed)
}
