package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/meterd/meterd/event"
)

// noRenewMax bounds the devices of a product that are excepted from renewal by name.
const noRenewMax = 10_000

// Renews reports whether the device's licence is renewed when it ends (R19). It does not keep device and does not
// allocate.
func (p *Product) Renews(device []byte) bool {
	if !p.AutoRenew {
		return false
	}
	_, off := p.NoRenew[string(device)]
	return !off
}

func nameSet(names []string) map[string]struct{} {
	set := make(map[string]struct{}, len(names))
	for _, n := range names {
		set[n] = struct{}{}
	}
	return set
}

// Excepted returns the names of the devices that are not renewed although the others are, sorted.
func (p *Product) Excepted() []string { return sortedKeys(p.NoRenew) }

// SetRenewal switches the renewal of a product's devices on or off, except some that are never renewed (R19).
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
	p := *c.products[product]
	p.AutoRenew, p.NoRenew = auto, nameSet(except)
	n.put(&p)
	ch := n.change(by, "product.renewal", p.Name, map[string]any{"auto_renew": auto, "except": p.Excepted()})
	ch.putProduct(&p)
	return n, ch, &p, nil
}

// Certify makes a personal account an enterprise, with the gifts of one (R6). Certifying again returns a nil catalogue
// and change.
func (c *Catalogue) Certify(by Actor, account string) (*Catalogue, *Change, *Account, error) {
	old := c.accounts[account]
	if old.Kind == Enterprise {
		return nil, nil, old, nil
	}
	n := c.next()
	a := *old
	a.Kind = Enterprise
	n.accounts[a.Name] = &a
	ch := n.change(by, "account.certify", a.Name, map[string]any{"gifts": giftsEnterprise})
	ch.putAccount(&a, giftsEnterprise)
	ch.Apply = func() {
		a.State.Lock()
		defer a.State.Unlock()
		a.Gifts.Quantity = giftsEnterprise
	}
	return n, ch, &a, nil
}

// SuspendAccount suspends an account with all its products, or lets it go (R20).
func (c *Catalogue) SuspendAccount(by Actor, account string, suspended bool) (*Catalogue, *Change, *Account, error) {
	n := c.next()
	a := *c.accounts[account]
	a.Suspended = suspended
	n.accounts[a.Name] = &a
	for _, p := range c.Products(account) {
		changed := *p
		changed.Scope = scopeOf(&a, &changed)
		n.put(&changed)
	}
	ch := n.change(by, "account.suspend", a.Name, map[string]any{"suspended": suspended})
	a.State.Lock()
	gifts := a.Gifts.Quantity
	a.State.Unlock()
	ch.putAccount(&a, gifts)
	return n, ch, &a, nil
}

// SuspendProduct suspends a product, or lets it go (R20).
func (c *Catalogue) SuspendProduct(by Actor, product string, suspended bool) (*Catalogue, *Change, *Product, error) {
	n := c.next()
	p := *c.products[product]
	p.Suspended = suspended
	p.Scope = scopeOf(c.accounts[p.Account], &p)
	n.put(&p)
	ch := n.change(by, "product.suspend", p.Name, map[string]any{"suspended": suspended})
	ch.putProduct(&p)
	return n, ch, &p, nil
}

// DeviceSuspension says whether a device is suspended. The device table holds the same as a bit of the device's
// session; this is what recovery goes by.
type DeviceSuspension struct {
	Product   uint32
	Device    string
	Suspended bool
}

type deviceRecord struct {
	Suspended bool `json:"suspended"`
}

// SuspendDevice suspends one device, or lets it go (R20). The caller has seen to it that the device is known.
func (c *Catalogue) SuspendDevice(by Actor, product, device string, suspended bool) (*Catalogue, *Change, error) {
	p := c.products[product]
	n := c.next()
	ch := n.change(by, "device.suspend", p.Name+"/"+device, map[string]any{"suspended": suspended})
	ch.put(append(key32(keyDevice, p.ID), device...), deviceRecord{Suspended: suspended})
	ch.Device = &DeviceSuspension{Product: p.ID, Device: device, Suspended: suspended}
	return n, ch, nil
}

// Suspensions returns what was loaded about single devices.
func (c *Catalogue) Suspensions() []DeviceSuspension { return c.suspensions }

func (l *loader) device(key, value []byte) error {
	const head = len(keyDevice) + 4
	if len(key) <= head {
		return fmt.Errorf("control record %x has a damaged key", key)
	}
	var r deviceRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("control record %x: %w", key, err)
	}
	l.c.suspensions = append(l.c.suspensions, DeviceSuspension{
		Product: binary.BigEndian.Uint32(key[len(keyDevice):]), Device: string(key[head:]), Suspended: r.Suspended,
	})
	return nil
}
