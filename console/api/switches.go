package api

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

// certifyAccount answers POST /v1/accounts/{account}/certify (R6).
func (c *call) certifyAccount() error {
	a, err := c.account()
	if err == nil {
		err = c.readNothing()
	}
	if err != nil {
		return err
	}
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, a, err = cat.Certify(by, a.Name)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerAccount(fasthttp.StatusOK, a)
}

type renewalAnswer struct {
	AutoRenew bool     `json:"auto_renew"`
	Except    []string `json:"except"`
}

// showRenewal answers GET /v1/products/{product}/renewal (R19).
func (c *call) showRenewal() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	return c.answerRenewal(p)
}

func (c *call) answerRenewal(p *license.Product) error {
	except := p.NoRenew
	if except == nil {
		except = []string{}
	}
	return c.answer(fasthttp.StatusOK, renewalAnswer{AutoRenew: p.AutoRenew, Except: except})
}

// setRenewal answers PUT /v1/products/{product}/renewal (R19). Without except no device is excepted.
func (c *call) setRenewal() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	var auto *bool
	var except []string
	if err := c.read(fields{"auto_renew": flag(&auto), "except": names(&except)}); err != nil {
		return err
	}
	if auto == nil {
		return invalid("auto_renew", "is needed")
	}
	slices.Sort(except) // Here, not while nobody decides.
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, p, err = cat.SetRenewal(by, p.Name, *auto, except)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerRenewal(p)
}

// suspension reads the body of a suspension.
func (c *call) suspension() (bool, error) {
	var suspended *bool
	if err := c.read(fields{"suspended": flag(&suspended)}); err != nil {
		return false, err
	}
	if suspended == nil {
		return false, invalid("suspended", "is needed")
	}
	return *suspended, nil
}

// suspendAccount answers PUT /v1/accounts/{account}/suspended: its online devices are put offline at once (R20).
func (c *call) suspendAccount() error {
	a, err := c.account()
	if err != nil {
		return err
	}
	suspended, err := c.suspension()
	if err != nil {
		return err
	}
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, a, err = cat.SuspendAccount(by, a.Name, suspended)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerAccount(fasthttp.StatusOK, a)
}

// suspendProduct answers PUT /v1/products/{product}/suspended (R20).
func (c *call) suspendProduct() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	suspended, err := c.suspension()
	if err != nil {
		return err
	}
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, p, err = cat.SuspendProduct(by, p.Name, suspended)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerProduct(fasthttp.StatusOK, p)
}

// suspendDevice answers PUT /v1/products/{product}/devices/{device}/suspended (R20). A device that was never active
// cannot be suspended.
func (c *call) suspendDevice() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	suspended, err := c.suspension()
	if err != nil {
		return err
	}
	name := c.path("device")
	known := false
	err = c.queries.View(func(v *query.View) { _, known = v.Device(v.Catalogue.ProductByID(p.ID), []byte(name)) })
	if err != nil {
		return err
	}
	if !known {
		return &event.Problem{
			Code:   event.NotFound,
			Field:  "device",
			Detail: "device: none called " + name + " was ever active",
		}
	}
	err = c.administer(func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return cat.SuspendDevice(by, p.Name, name, suspended)
	})
	if err != nil {
		return err
	}
	return c.showDevice()
}

// flag reads true or false.
func flag(to **bool) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var b bool
		if raw[0] == 'n' || json.Unmarshal(raw, &b) != nil {
			return errors.New("must be true or false")
		}
		*to = &b
		return nil
	}
}

// names reads a list of strings.
func names(to *[]string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if raw[0] != '[' || json.Unmarshal(raw, to) != nil {
			return errors.New("must be a list of strings")
		}
		return nil
	}
}
