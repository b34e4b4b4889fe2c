package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/meterd/meterd/bench/powercut"
)

// sweptDevices are so many that taking them offline goes over many groups.
const sweptDevices = 3000

// office is an administrator whose daemon's power goes. What was answered holds; of what was not, either.
type office struct {
	*rig
	n         int
	lots      map[string]uint64
	messages  int
	tokens    map[string]string // name: secret
	suspended bool
	swept     bool // all devices are offline, by an answer or by what was seen
	halfway   int  // sweeps that the power ended
	// unproved are the secrets of deleted tokens that could not be tried any more: a sweep that went on used up the cut's
	// last change.
	unproved []string
	// doubt is what was asked for and not answered. It looks whether that happened, and notes it.
	doubt    func()
	answered int
	happened int // of what was not answered
	not      int
}

// change asks for one thing; when it is answered, or found to have happened, note is called.
func (o *office) change(method, path, body string, note func(a answer), happened func() bool) bool {
	o.t.Helper()
	a, err := o.d.try(method, path, []byte(body))
	if err != nil {
		o.doubt = func() {
			if happened() {
				note(answer{})
				o.happened++
			} else {
				o.not++
			}
		}
		return false
	}
	if a.status/100 != 2 {
		o.t.Fatalf("%s %s %s: %d %s", method, path, body, a.status, a.body)
	}
	note(a)
	o.answered++
	return true
}

// do asks for the n-th kind of change; false when it was not answered.
func (o *office) do(kind int) bool {
	o.t.Helper()
	o.n++
	name := fmt.Sprintf("N-%d", o.n)
	switch kind {
	case 0:
		return o.change("POST", "/v1/products/p1/lots", fmt.Sprintf(`{"order":%q,"quantity":%d}`, name, 10+o.n),
			func(answer) { o.lots[name] = uint64(10 + o.n) }, func() bool { return o.lotsNow()[name] != 0 })
	case 1:
		next := o.messages + 1
		return o.change("PUT", "/v1/products/p1/plan", fmt.Sprintf(`{"messages_per_day":%d}`, next),
			func(answer) { o.messages = next }, func() bool { return o.messagesNow() == next })
	case 2:
		return o.change("POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"role":"viewer"}`, name), func(a answer) {
			var made struct{ Token string }
			_ = json.Unmarshal(a.body, &made) // Nobody knows the secret of one that was not answered.
			o.tokens[name] = made.Token
		}, func() bool { return o.tokensNow()[name] })
	case 3:
		for name := range o.tokens {
			return o.change("DELETE", "/v1/tokens/"+name, "", func(answer) { o.forget(name) },
				func() bool { return !o.tokensNow()[name] })
		}
		return true
	case 4:
		for lot := range o.lots {
			was := o.lots[lot]
			return o.change("POST", "/v1/products/p1/lots/"+lot+"/void", fmt.Sprintf(`{"order":%q,"quantity":1}`, name),
				func(answer) { o.lots[lot] = was - 1 }, func() bool { return o.lotsNow()[lot] == was-1 })
		}
		return true
	default:
		next := !o.suspended
		return o.change("PUT", "/v1/accounts/p1/suspended", fmt.Sprintf(`{"suspended":%v}`, next),
			func(a answer) {
				o.suspended, o.swept = next, next && a.status == 200
				if next && !o.swept {
					o.halfway++
				}
			}, func() bool { return o.suspendedNow() == next })
	}
}

const officeKinds = 6

// forget takes a token away and proves that it is worth nothing, at the latest after the cut.
func (o *office) forget(name string) {
	if secret := o.tokens[name]; secret != "" {
		if a, err := o.d.try("GET", "/v1/products", nil, "Authorization", "Bearer "+secret); err != nil {
			o.unproved = append(o.unproved, secret)
		} else {
			a.refuse(o.t, 401, "unauthorized")
		}
	}
	delete(o.tokens, name)
}

func (o *office) lotsNow() map[string]uint64 {
	lots := map[string]uint64{}
	for _, l := range pages[lotView](o.d, "/v1/products/p1/lots", "lots") {
		lots[l.Order] = l.Quantity
	}
	return lots
}

func (o *office) messagesNow() int { return int(*o.d.product("p1").Plan.MessagesPerDay) }

func (o *office) tokensNow() map[string]bool {
	tokens := map[string]bool{}
	for _, t := range pages[struct{ Name string }](o.d, "/v1/tokens", "tokens") {
		tokens[t.Name] = t.Name != "admin"
	}
	return tokens
}

func (o *office) suspendedNow() bool {
	var v struct{ Suspended bool }
	o.d.must("GET", "/v1/accounts/p1", "", &v)
	return v.Suspended
}

// check compares what is there with what was answered.
func (o *office) check() {
	o.t.Helper()
	if o.doubt != nil {
		o.doubt()
		o.doubt = nil
	}
	for _, secret := range o.unproved {
		o.d.ask("GET", "/v1/products", "", "Authorization", "Bearer "+secret).refuse(o.t, 401, "unauthorized")
	}
	o.unproved = nil
	if got := o.lotsNow(); fmt.Sprint(got) != fmt.Sprint(o.lots) {
		o.t.Errorf("lots %v, answered %v", got, o.lots)
	}
	if got := o.messagesNow(); got != o.messages {
		o.t.Errorf("%d messages a day, answered %d", got, o.messages)
	}
	tokens := o.tokensNow()
	delete(tokens, "admin")
	if len(tokens) != len(o.tokens) {
		o.t.Errorf("tokens %v, answered %v", tokens, o.tokens)
	}
	for name, secret := range o.tokens {
		if secret == "" {
			continue
		}
		if a := o.d.ask("GET", "/v1/products", "", "Authorization", "Bearer "+secret); a.status != 200 {
			o.t.Errorf("token %s was made and answers %d", name, a.status)
		}
	}
	if got := o.suspendedNow(); got != o.suspended {
		o.t.Errorf("the account's suspended is %v, answered %v", got, o.suspended)
	}
	if o.suspended { // What a sweep had not come to before the cut it comes to now.
		switch online := o.d.product("p1").Devices.Online; {
		case online > 0 && o.swept:
			o.t.Errorf("the account's suspension was answered, and %d devices are online", online)
		case online > 0:
			await(o.t, "all devices are offline", func() bool { return o.d.product("p1").Devices.Online == 0 })
		}
		o.swept = true
		if got := o.d.batch(line("up", "p1", "d1"))[0]; got != "suspended" {
			o.t.Errorf("a device of a suspended account: %s", got)
		}
	}
}

// connect brings all devices online.
func (o *office) connect() {
	o.t.Helper()
	lines := make([]string, sweptDevices)
	for i := range lines {
		lines[i] = line("connect", "p1", fmt.Sprintf("d%d", i))
	}
	o.d.batch(lines...)
	if got := o.d.product("p1").Devices.Online; got != sweptDevices {
		o.t.Fatalf("%d devices are online", got)
	}
}

// round lets the power go in or near a change of one kind, and compares.
func (o *office) round(kind int, dice *rand.Rand) {
	o.t.Helper()
	if kind == officeKinds-1 {
		if o.suspended {
			o.do(kind)
		}
		o.connect()
	}
	changes := 1 + dice.Uint64N(6)
	if kind == officeKinds-1 {
		changes = 1 + dice.Uint64N(24) // A sweep has several groups.
	}
	if err := o.disk.CutAfter(changes, "data/log", dice.Uint64()|1); err != nil {
		o.t.Fatal(err)
	}
	for next := kind; o.do(next); next = dice.IntN(officeKinds) {
	}
	if err := o.disk.Cut(); err != nil {
		o.t.Fatal(err)
	}
	o.d.kill()
	o.mount(weather(dice))
	o.d.start()
	o.check()
}

// TestPowerCutInAdministration cuts the power at each write of the log that a change of administration makes: a credit,
// a plan, a token made or deleted, a take-back, an account suspended with all its devices. What was answered holds
// after the restart, and so does what it means: a deleted token is refused, every device of a suspended account is
// offline.
func TestPowerCutInAdministration(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE, and some seconds")
	}
	t.Parallel()
	n := seed(t)
	dice := newDice(n, 0)
	o := &office{rig: newBareRig(t, powercut.Options{}), lots: map[string]uint64{}, tokens: map[string]string{}}
	o.messages = 1000
	o.d.withProduct("p1", fmt.Sprintf(`{"messages_per_day":%d}`, o.messages))
	o.d.credit("p1", "FIRST", 2*sweptDevices)
	o.lots["FIRST"] = 2 * sweptDevices
	o.connect()
	const cuts = 24
	for cut := range cuts {
		o.round(cut%officeKinds, dice)
		o.ledgerIsWhole()
		if t.Failed() {
			t.Fatalf("after cut %d", cut)
		}
	}
	t.Logf(
		"%d cuts: %d changes answered, none lost; of %d without an answer %d had happened; %d sweeps were ended by a cut "+
			"and resumed",
		cuts,
		o.answered,
		o.happened+o.not,
		o.happened,
		o.halfway,
	)
}
