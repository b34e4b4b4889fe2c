package main

import (
	"fmt"
	"io"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// What the demo creates.
const (
	demoName     = "demo"
	demoLicenses = 1000
	demoUnits    = 100
)

// demo creates an account with a product, licences and a top-up pack, unless they are there, and prints a first call to
// paste.
func (d *daemon) demo(out io.Writer) error {
	steps := []shard.ChangeFunc{
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			if c.Account(demoName) != nil {
				return nil, nil, nil
			}
			next, ch, _, err := c.CreateAccount(by, demoName, license.Personal, "")
			return next, ch, err
		},
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			if c.Product([]byte(demoName)) != nil {
				return nil, nil, nil
			}
			next, ch, _, err := c.CreateProduct(
				by,
				license.ProductSpec{Name: demoName, Account: demoName, Label: "Demo product", Zone: d.o.zone},
			)
			return next, ch, err
		},
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.ApplyCredit(by, demoName, license.Credit{Order: "DEMO-LOT", Quantity: demoLicenses})
			return next, ch, err
		},
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.ApplyCredit(by, demoName, license.Credit{Order: "DEMO-PACK", Quantity: demoUnits, Units: true})
			return next, ch, err
		},
	}
	for _, step := range steps {
		if err := d.engine.Administer(demoName, nil, step); err != nil {
			return fmt.Errorf("create the demo: %w", err)
		}
	}
	address := d.server.Address().String()
	code, err := d.people.InviteAdmin(demoName)
	if err != nil {
		return fmt.Errorf("make a link to sign in: %w", err)
	}
	_, err = fmt.Fprintf(out, `
meterd is ready at %[1]s://%[2]s
Sign in to the console, once and within 15 minutes: %[4]s
The administrator's token is in %[3]s
A first batch, to paste into another shell:

  curl -s %[1]s://%[2]s/v1/events -H "Authorization: Bearer $(cat %[3]s)" -H 'Content-Type: application/json' \
    -d '[{"type":"connect","product":"demo","device":"d1"},
         {"type":"up","product":"demo","device":"d1","payload":"21.5 C"}]'

and what it did:

  curl -s %[1]s://%[2]s/v1/products/demo/devices/d1 -H "Authorization: Bearer $(cat %[3]s)"

`, d.scheme(), address, d.tokenPath(), signInLink(d.scheme()+"://"+address, code))
	return err
}

func (d *daemon) scheme() string {
	if d.o.tlsCert != "" {
		return "https"
	}
	return "http"
}
