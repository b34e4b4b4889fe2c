package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

// stock is what is bought for a product and can be taken back while it is not consumed: lots and top-up packs (R8).
type stock struct {
	plural, word string // in the path; as an argument
	amount       string // the member and flag that says how much
	columns      []column
}

func (c *ctl) lotsCommand() *cobra.Command {
	s := stock{plural: "lots", word: "LOT", amount: "quantity", columns: []column{
		{"ORDER", "order"},
		{"QUANTITY", "quantity"},
		{"USED", "used"},
		{"AVAILABLE", "available"},
		{"CREDITED AT", "credited_at"},
	}}
	cmd := group(s.plural, "Licences credited to a product")
	var plan planFlags
	credit := c.creditVerb(
		s,
		"Credit licences to a product; the same order again credits nothing",
		func(cmd *cobra.Command, body map[string]any) error {
			values, err := plan.values(cmd.Flags())
			if len(values) > 0 {
				body["plan"] = values
			}
			return err
		},
	)
	plan.add(credit.Flags())
	cmd.AddCommand(c.stockVerb(s), credit, c.voidVerb(s))
	return cmd
}

func (c *ctl) topupsCommand() *cobra.Command {
	s := stock{plural: "topups", word: "TOPUP", amount: "units", columns: []column{
		{"ORDER", "order"},
		{"KIND", "kind"},
		{"UNITS", "units"},
		{"USED", "used"},
		{"AVAILABLE", "available"},
		{"CREDITED AT", "credited_at"},
	}}
	cmd := group(s.plural, "OTA units bought for a product beforehand")
	var kind string
	credit := c.creditVerb(
		s,
		"Credit a top-up pack to a product; the same order again credits nothing",
		func(_ *cobra.Command, body map[string]any) error {
			body["kind"] = kind
			return nil
		},
	)
	credit.Flags().StringVar(&kind, "kind", "ota", "what the units are for")
	choices(credit, "kind", "ota")
	cmd.AddCommand(c.stockVerb(s), credit, c.voidVerb(s))
	return cmd
}

func (c *ctl) stockVerb(s stock) *cobra.Command {
	return c.listOfVerb(
		"list PRODUCT",
		"List the "+s.plural+" of a product",
		func(_ *cobra.Command, args []string) (list, error) {
			return list{path: client.Path("v1", "products", args[0], s.plural), member: s.plural, columns: s.columns}, nil
		},
	)
}

// creditVerb returns the verb that credits s; more adds to the body.
func (c *ctl) creditVerb(
	s stock,
	short string,
	more func(cmd *cobra.Command, body map[string]any) error,
) *cobra.Command {
	return c.orderVerb(s, "credit PRODUCT", short, func(cmd *cobra.Command, args []string, body map[string]any) error {
		if err := more(cmd, body); err != nil {
			return err
		}
		return c.record(cmd, http.MethodPost, client.Path("v1", "products", args[0], s.plural), nil, body)
	})
}

func (c *ctl) voidVerb(s stock) *cobra.Command {
	return c.orderVerb(s, "void PRODUCT "+s.word, "Take back what is not consumed; the same order again takes nothing",
		func(cmd *cobra.Command, args []string, body map[string]any) error {
			return c.record(cmd, http.MethodPost, client.Path("v1", "products", args[0], s.plural, args[1], "void"), nil, body)
		})
}

// orderVerb returns a verb that needs an order and an amount.
func (c *ctl) orderVerb(
	s stock,
	use, short string,
	run func(cmd *cobra.Command, args []string, body map[string]any) error,
) *cobra.Command {
	var order string
	var amount uint64
	cmd := c.verb(use, short, func(cmd *cobra.Command, args []string) error {
		if err := needs(cmd, "order", s.amount); err != nil {
			return err
		}
		if err := namesGiven(cmd, "order"); err != nil {
			return err
		}
		return run(cmd, args, map[string]any{"order": order, s.amount: amount})
	})
	cmd.Use = use + " --order ORDER --" + s.amount + " N [flags]"
	cmd.Flags().StringVar(&order, "order", "", "number of this order, unique within the product")
	cmd.Flags().Uint64Var(&amount, s.amount, 0, "how many")
	return cmd
}
