package shard

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/recovery"
)

// holdLog has the log take no group until the returned function is called.
func (m *machine) holdLog() (release func()) {
	hold := make(chan struct{})
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.log.hold, m.log.began = hold, make(chan struct{}, 1)
	return func() {
		m.log.mu.Lock()
		defer m.log.mu.Unlock()
		m.log.hold = nil
		close(hold)
	}
}

// inOneGroup has calls decided in one group: while the log is busy with the group before, each of them comes to wait.
func (m *machine) inOneGroup(calls ...func() error) (errs []error) {
	m.t.Helper()
	release := m.holdLog()
	busy := make(chan error, 1)
	go func() { busy <- m.Submit(request(m.t, line("up", "p", "nobody"))) }()
	<-m.log.began
	answers := make([]chan error, len(calls))
	for i, call := range calls {
		waiting := m.waiting()
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- call() }()
		for m.waiting() == waiting { // It has queued its change, or decided its events in the open group.
			m.settleNothing()
		}
	}
	before, _, _ := m.log.Last()
	release()
	for _, answer := range answers {
		errs = append(errs, <-answer)
	}
	if err := <-busy; err != nil {
		m.t.Fatal(err)
	}
	if last, _, _ := m.log.Last(); last != before+2 {
		m.t.Fatalf("%d groups were written instead of the busy one and one more", last-before)
	}
	return errs
}

// waiting counts the changes that wait for a seal and the bytes promised to the open group.
func (m *machine) waiting() int {
	m.gate.mu.RLock()
	defer m.gate.mu.RUnlock()
	m.admin.mu.Lock()
	defer m.admin.mu.Unlock()
	return len(m.admin.pending) + int(m.gate.open.bytes.Load())
}

func credit(order string, quantity uint64) ChangeFunc {
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.ApplyCredit(by, "p", license.Credit{Order: order, Quantity: quantity})
		return next, ch, err
	}
}

func setPlan(t testing.TB, plan string) ChangeFunc {
	t.Helper()
	var patch license.PlanPatch
	if err := patch.UnmarshalJSON([]byte(plan)); err != nil {
		t.Fatal(err)
	}
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetPlan(by, "p", patch)
		return next, ch, err
	}
}

func suspendAccount(on bool) ChangeFunc {
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SuspendAccount(by, "acc-p", on)
		return next, ch, err
	}
}

// R8: of two equal orders in one group the second finds the first; a third with other content is refused.
func TestEqualOrdersInOneGroup(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	administer := func(fn ChangeFunc) func() error { return func() error { return m.Administer("test", nil, fn) } }
	errs := m.inOneGroup(administer(credit("PO-1", 5)), administer(credit("PO-1", 5)), administer(credit("PO-1", 6)))
	if errs[0] != nil || errs[1] != nil || errs[2] == nil || !strings.Contains(errs[2].Error(), "PO-1") {
		t.Fatalf("answers: %v", errs)
	}
	for range 2 {
		if c := m.licenses("p"); c.Total != 5 {
			t.Fatalf("%+v, one order of 5 was credited", c)
		}
		m.crash()
	}
}

// What was decided by a catalogue that is not durable yet leaves when it is: neither "that order is there already" nor
// a refusal is heard before, and after a crash neither was ever true.
func TestAnswersWaitForTheCatalogueTheySaw(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.holdLog()
	e := m.Engine
	answers := make(chan error, 3)
	go func() { answers <- e.Administer("test", nil, credit("PO-1", 5)) }()
	<-m.log.began
	go func() { answers <- e.Administer("test", nil, credit("PO-1", 5)) }()
	go func() { answers <- e.Administer("test", nil, credit("PO-1", 6)) }()
	for m.waiting() < 2 {
		m.settleNothing()
	}
	select {
	case err := <-answers:
		t.Fatalf("answered (%v) by a catalogue that is not durable", err)
	default:
	}
	m.crash()
	for range 3 {
		if err := <-answers; !errors.Is(err, ErrStopped) {
			t.Fatalf("answered after a crash: %v", err)
		}
	}
	if c := m.licenses("p"); c.Total != 0 {
		t.Fatalf("%+v after a credit that was never durable", c)
	}
}

// R9: an upgrade that takes effect at the seal of the group in which a licence was renewed moves the new end too.
func TestUpgradeAndRenewalInOneGroup(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT10S"}`, 5)
	m.submit(line("connect", "p", "d"))
	renewed := request(t, line("up", "p", "d"))
	var errs []error
	m.withoutEnds(func() { // The engine would renew it, in a group before or in this one.
		m.clock.pass(10 * time.Second)
		errs = m.inOneGroup(
			func() error { return m.Submit(renewed) },
			func() error { return m.Administer("test", nil, setPlan(t, `{"validity":"P1D"}`)) },
		)
	})
	if errs[0] != nil || errs[1] != nil || renewed.Result.Accepted != 1 {
		t.Fatal(errs, renewed.Result)
	}
	at := m.clock.wall
	for range 2 {
		d, _ := m.device("p", "d")
		if d.ActivatedS != at.Unix() || d.ExpiresS != at.Add(24*time.Hour).Unix() || !d.Active {
			t.Fatalf("renewed at %s: %+v", at, d)
		}
		if c := m.licenses("p"); c.Used != 2 {
			t.Fatalf("%+v: one licence and its renewal (R4)", c)
		}
		m.crash()
	}
}

// R20: suspended, let go and connected again, with checkpoints and crashes in between: the last word holds.
func TestSuspendResumeReconnectAcrossACheckpoint(t *testing.T) {
	for point := range 4 {
		t.Run(fmt.Sprint("checkpoint", point), func(t *testing.T) {
			m := newMachine(t)
			m.product("p", `{}`, 5)
			m.submitAs("gw", line("connect", "p", "d")+line("connect", "p", "e"))
			steps := []func(){
				func() { m.administer(suspendAccount(true)) },
				func() { m.administer(suspendAccount(false)) },
				func() { m.submitAs("gw", line("connect", "p", "d")) },
			}
			for i, step := range steps {
				if i == point {
					if err := m.Checkpoint(); err != nil {
						t.Fatal(err)
					}
				}
				step()
			}
			if point == len(steps) {
				if err := m.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				m.crash()
				d, _ := m.device("p", "d")
				e, _ := m.device("p", "e")
				if !d.Online || e.Online || len(m.Catalogue().Sweeps()) > 0 {
					t.Fatalf("%+v, %+v, sweeps %v", d, e, m.Catalogue().Sweeps())
				}
			}
			if list, _ := m.heard(m.CommandsFrom(""), Listener{}); fmt.Sprint(list) != "[suspended e]" {
				t.Fatalf("gateways hear %v", list)
			}
		})
	}
}

// A suspension that waits for its sweep keeps no place from the change that ends the sweep (R20).
func TestSweepEndsWhenAllPlacesAreTaken(t *testing.T) {
	m := newMachine(t)
	m.admin.places = make(chan struct{}, 1)
	m.product("p", `{}`, 1)
	m.submit(line("connect", "p", "d"))
	m.administer(suspendAccount(true))
	if d, _ := m.device("p", "d"); d.Online || len(m.Catalogue().Sweeps()) > 0 {
		t.Fatalf("%+v, sweeps %v", d, m.Catalogue().Sweeps())
	}
}

// Who waits for a sweep is woken, too, when it ends because the suspension is lifted before it was carried out (R20).
func TestSweepMadeNeedless(t *testing.T) { synctest.Test(t, sweepMadeNeedless) }

func sweepMadeNeedless(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 1)
	synctest.Wait() // The engine has looked for sweeps of a former run.
	suspend := func(on bool) (sweep uint64) {
		t.Helper()
		sweep, err := m.change("test", nil,
			func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				next, ch, _, err := c.SuspendProduct(by, "p", on)
				return next, ch, err
			})
		if err != nil {
			t.Fatal(err)
		}
		return sweep
	}
	sweep := suspend(true) // Nobody waits for it yet, so nothing has told runSweeps of it.
	waiting := m.sweeps.wait()
	suspend(false)
	select {
	case <-waiting:
	default:
		t.Error("the end of the suspension told nobody")
	}
	if err := m.awaitSweep(sweep); err != nil {
		t.Fatal(err)
	}
}

// R20: a crash between a suspension and the end of its sweep leaves no device online: the next start goes on with it.
func TestSweepGoesOnAfterACrash(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 10)
	for i := range 10 {
		m.submit(line("connect", "p", fmt.Sprint("d", i)))
	}
	release := m.holdLog()
	e := m.Engine
	answer := make(chan error, 1)
	go func() { answer <- e.Administer("test", nil, suspendAccount(true)) }()
	<-m.log.began // The suspension is on its way to the disk.
	m.log.mu.Lock()
	m.log.stopAfter = 1 // It gets there, and nothing behind it.
	m.log.mu.Unlock()
	release()
	if err := <-answer; !errors.Is(err, ErrStopped) {
		t.Fatalf("answered before the devices were offline: %v", err)
	}
	m.log.mu.Lock()
	m.log.stopAfter = 0
	m.log.mu.Unlock()
	m.crash()
	for len(m.Catalogue().Sweeps()) > 0 {
		if err := m.Durable(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		if d, _ := m.device("p", fmt.Sprint("d", i)); d.Online {
			t.Fatalf("%s is online although its account is suspended", d.Name)
		}
	}
	if list, _ := m.heard(m.CommandsFrom(""), Listener{}); len(list) != 10 {
		t.Fatalf("gateways hear %v", list)
	}
}

// A token that was deleted while its batch was on the way decides nothing: nothing is counted, nothing remembered.
func TestRevokedTokenDecidesNothing(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 5)
	token := m.administrator()
	r := request(t, line("connect", "p", "d")) // It was authenticated and decoded …
	r.Token, r.Producer = token, []byte("gw")
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.CreateToken(by, access.Token{Name: "other", Role: access.RoleAdmin, Hash: [32]byte{1}})
	})
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.DeleteToken(by, token.Name) // … before this was answered.
	})
	if err := m.Submit(r); !errors.Is(err, ErrTokenRevoked) {
		t.Fatalf("a batch with a revoked token: %v", err)
	}
	if err := m.Administer(token.Name, token, credit("PO-9", 1)); !errors.Is(err, ErrTokenRevoked) {
		t.Fatalf("a change with a revoked token: %v", err)
	}
	m.connects("gw", "d")
	if found, err := m.ForgetProducer(token, "gw"); found || !errors.Is(err, ErrTokenRevoked) {
		t.Fatalf("a producer was forgotten with a revoked token: %t, %v", found, err)
	}
	if n, err := m.Offline(token, "gw"); n != 0 || !errors.Is(err, ErrTokenRevoked) {
		t.Fatalf("devices were put offline with a revoked token: %d, %v", n, err)
	}
	m.holds("gw", "d", true)
	if c := m.licenses("p"); c.Used != 1 || c.Total != 5 {
		t.Fatalf("%+v", c)
	}
}

// Administration goes on while the clock has leapt, at the time that the monotonic clock says (R12).
func TestAdministrationDuringALeap(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 1)
	m.clock.set(testStart.Add(48 * time.Hour))
	if err := m.Submit(request(t, line("connect", "p", "d"))); !errors.Is(err, ErrClockLeap) {
		t.Fatalf("an event during a leap: %v", err)
	}
	m.administer(credit("PO-1", 2))
	m.clock.set(testStart)
	m.submit(line("connect", "p", "d"))
	m.crash()
	if c := m.licenses("p"); c.Total != 3 || c.Used != 1 {
		t.Fatalf("%+v", c)
	}
}

// A change whose number does not follow the last one means that one is missing: start is refused.
func TestMissingChangeRefusesStart(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 1)
	m.kill()
	m.log.inMemory(t)
	m.log.groups = m.log.groups[1:]
	for i := range m.log.groups {
		m.log.groups[i].Seq = uint64(i + 1)
	}
	m.store = newMemStore()
	if _, err := Open(m.options()); err == nil || !strings.Contains(err.Error(), "one is missing") {
		t.Fatalf("opened without a change: %v", err)
	}
}

// What memory has let go of is only in the ledger. With an older ledger, requests that need it are refused until the
// ledger has caught up, and never counted twice (R17); other requests go on.
func TestOlderLedgerRefusesWhatItLacks(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"ota_per_month":10}`, 5)
	m.submit(line("connect", "p", "d"))
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	old := m.store.clone()
	const ota = `{"type":"ota","product":"p","device":"d","size":1,"id":"x"}` + "\n"
	m.submit(ota)
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	for m.upgrades.Find(upgradeKeyOf(m, "p", "d", "x")) != nil { // Memory lets go of it at a seal.
		m.submit(line("up", "p", "d"))
	}
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.kill()
	m.store = old
	m.store.refuse(errors.New("not yet"))
	m.start()
	if err := m.Submit(request(t, ota)); !errors.Is(err, ErrLedgerLags) {
		t.Fatalf("an id that nobody knows now: %v", err)
	}
	if got := m.submit(line("up", "p", "d")); got[0] != "accepted" {
		t.Fatal(got)
	}
	m.store.refuse(nil)
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	if got := m.submit(ota); got[0] != "accepted" {
		t.Fatal(got)
	}
	if d, _ := m.device("p", "d"); d.OTA.Allowance() != 1 {
		t.Fatalf("one upgrade was counted %d times", d.OTA.Allowance())
	}
}

func upgradeKeyOf(m *machine, product, device, id string) []byte {
	return recovery.AppendUpgradeKey(nil, m.Catalogue().Product([]byte(product)).ID, []byte(device), []byte(id))
}
