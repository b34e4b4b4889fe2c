package license

import (
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
)

// Renews reports whether the device's licence is renewed when it ends (R19). It does not keep device and does not
// allocate.
func (p *Product) Renews(device []byte) bool {
	if !p.AutoRenew {
		return false
	}
	_, off := slices.BinarySearchFunc(p.NoRenew, device, func(name string, device []byte) int {
		switch { // Comparing so does not copy device.
		case name < string(device):
			return -1
		case name > string(device):
			return 1
		}
		return 0
	})
	return !off
}

// nameList returns the names sorted, each once, in a slice of their own; never nil.
func nameList(names []string) []string {
	list := append(make([]string, 0, len(names)), names...)
	if !slices.IsSorted(list) {
		slices.Sort(list)
	}
	return slices.Compact(list)
}

// SetRenewal switches the renewal of a product's devices on or off, except some that are never renewed (R19). The
// caller does well to sort them: that takes milliseconds for the most that there may be, and nobody decides meanwhile.
func (c *Catalogue) SetRenewal(
	by Actor,
	product string,
	auto bool,
	except []string,
) (*Catalogue, *Change, *Product, error) {
	if len(except) > noRenewMax {
		return nil, nil, nil, invalid("except", fmt.Sprintf("must name at most %d devices", noRenewMax))
	}
	for _, name := range except {
		if !event.ValidName([]byte(name)) {
			return nil, nil, nil, badName("except")
		}
	}
	n := c.next()
	p := *c.Product([]byte(product))
	p.AutoRenew, p.NoRenew = auto, nameList(except)
	n.putProduct(&p)
	ch := n.change(by, "product.renewal", p.Name, map[string]any{"auto_renew": auto, "except": p.NoRenew})
	ch.put(p.record())
	ch.put(p.renewalRecord())
	return n, ch, &p, nil
}

// What is kept of a product's payloads in the raw log, as requests, answers and the audit log name it.
const (
	PayloadFull = "full" // as much as the daemon keeps
	PayloadNone = "none"
)

// LogPayload returns what is kept of the product's payloads.
func (p *Product) LogPayload() string {
	if p.PayloadOff {
		return PayloadNone
	}
	return PayloadFull
}

// SetLogPayload says whether payloads of a product's devices are logged, of events that are decided from now on.
func (c *Catalogue) SetLogPayload(by Actor, product, keep string) (*Catalogue, *Change, *Product, error) {
	if keep != PayloadFull && keep != PayloadNone {
		return nil, nil, nil, invalid("keep", "must be full or none")
	}
	n := c.next()
	p := *c.Product([]byte(product))
	p.PayloadOff = keep == PayloadNone
	n.putProduct(&p)
	ch := n.change(by, "product.log_payload", p.Name, map[string]any{"keep": keep})
	ch.put(p.record())
	return n, ch, &p, nil
}

// What the quotas of a product do, as requests, answers and the audit log name it.
const (
	ModeEnforce = "enforce" // deny what is beyond them
	ModeObserve = "observe" // accept it and say that they would deny it
)

// Enforcement returns what the product's quotas do.
func (p *Product) Enforcement() string {
	if p.Observes {
		return ModeObserve
	}
	return ModeEnforce
}

// SetEnforcement says what the quotas of messages and OTA do with events that are decided from now on. Licences,
// suspension and renewal are enforced in either mode.
func (c *Catalogue) SetEnforcement(by Actor, product, mode string) (*Catalogue, *Change, *Product, error) {
	if mode != ModeEnforce && mode != ModeObserve {
		return nil, nil, nil, invalid("mode", "must be enforce or observe")
	}
	n := c.next()
	p := *c.Product([]byte(product))
	p.Observes, p.ModeSinceMs = mode == ModeObserve, by.AtMs
	n.putProduct(&p)
	ch := n.change(by, "product.enforcement", p.Name, map[string]any{"mode": mode})
	ch.put(p.record())
	if p.Observes {
		ch.refresh(&p)
	}
	return n, ch, &p, nil
}

// Certify makes a personal account an enterprise, with the gifts of one (R6). Certifying again returns a nil catalogue
// and change.
func (c *Catalogue) Certify(by Actor, account string) (*Catalogue, *Change, *Account, error) {
	old := c.Account(account)
	if old.Kind == Enterprise {
		return nil, nil, old, nil
	}
	n := c.next()
	a := *old
	a.Kind, a.gifted = Enterprise, giftsEnterprise
	n.putAccount(&a)
	a.State.Lock()
	a.Gifts.Credited = a.gifted
	a.State.Unlock()
	ch := n.change(by, "account.certify", a.Name, map[string]any{"gifts": a.gifted})
	ch.put(a.record())
	return n, ch, &a, nil
}

// SuspendAccount suspends an account with all its products, or lets it go (R20). A suspension begins a sweep.
func (c *Catalogue) SuspendAccount(by Actor, account string, suspended bool) (*Catalogue, *Change, *Account, error) {
	n := c.next()
	a := *c.Account(account)
	a.Suspended = suspended
	n.putAccount(&a)
	ch := n.change(by, "account.suspend", a.Name, map[string]any{"suspended": suspended})
	ch.put(a.record())
	if err := n.sweep(ch, Sweep{AccountID: a.ID}, suspended); err != nil {
		return nil, nil, nil, err
	}
	return n, ch, &a, nil
}

// SuspendProduct suspends a product, or lets it go (R20). A suspension begins a sweep.
func (c *Catalogue) SuspendProduct(by Actor, product string, suspended bool) (*Catalogue, *Change, *Product, error) {
	n := c.next()
	p := *c.Product([]byte(product))
	p.Suspended = suspended
	n.putProduct(&p)
	ch := n.change(by, "product.suspend", p.Name, map[string]any{"suspended": suspended})
	ch.put(p.record())
	if err := n.sweep(ch, Sweep{ProductID: p.ID}, suspended); err != nil {
		return nil, nil, nil, err
	}
	return n, ch, &p, nil
}

// SuspendDevice suspends one device, or lets it go (R20). The caller has seen to it that the device is known, and
// writes the device's word: the catalogue holds nothing of it.
func (c *Catalogue) SuspendDevice(by Actor, product, device string, suspended bool) (*Catalogue, *Change, error) {
	p := c.Product([]byte(product))
	n := c.next()
	ch := n.change(by, "device.suspend", p.Name+"/"+device, map[string]any{"suspended": suspended})
	ch.Device = &DeviceSuspension{Product: p.ID, Device: device, Suspended: suspended}
	return n, ch, nil
}
