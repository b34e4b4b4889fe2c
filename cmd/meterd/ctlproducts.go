package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var productColumns = []column{
	{"PRODUCT", "product"},
	{"ACCOUNT", "account"},
	{"NAME", "name"},
	{"TIME ZONE", "time_zone"},
	{"VALIDITY", "plan.validity"},
	{"MESSAGES/DAY", "plan.messages_per_day"},
	{"TOTAL", "licenses.total"},
	{"USED", "licenses.used"},
	{"AVAILABLE", "licenses.available"},
	{"OTA LEFT", "topups.ota.available"},
	{"ACTIVE", "devices.active"},
	{"ONLINE", "devices.online"},
	{"SUSPENDED", "suspended"},
}

func (c *ctl) productsCommand() *cobra.Command {
	cmd := group("products", "Device models, their plans and their renewal")
	var account string
	listing := c.listOfVerb("list", "List the products", func(cmd *cobra.Command, _ []string) (list, error) {
		l := list{path: client.Path("v1", "products"), member: "products", columns: productColumns}
		if cmd.Flags().Changed("account") {
			l.query = url.Values{"account": {account}}
		}
		return l, namesGiven(cmd, "account")
	})
	listing.Flags().StringVar(&account, "account", "", "only those of this account")
	c.offers(listing, "account", "ACCOUNT")
	cmd.AddCommand(
		listing,
		c.verb("get PRODUCT", "Show a product", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, client.Path("v1", "products", args[0]), nil, nil)
		}),
		c.createProductVerb(),
		c.planCommand(),
		c.renewalCommand(),
		c.logPayloadCommand(),
		c.enforcementCommand(),
		c.forecastVerb(), c.whatIfVerb(),
	)
	c.addSuspension(
		cmd,
		"PRODUCT",
		func(args []string) string { return client.Path("v1", "products", args[0], "suspended") },
	)
	return cmd
}

func (c *ctl) createProductVerb() *cobra.Command {
	var account, name, zone string
	var plan planFlags
	cmd := c.verb("create NAME", "Create a product", func(cmd *cobra.Command, args []string) error {
		if err := needs(cmd, "account"); err != nil {
			return err
		}
		if err := namesGiven(cmd, "account"); err != nil {
			return err
		}
		body := map[string]any{"product": args[0], "account": account}
		if cmd.Flags().Changed("name") {
			body["name"] = name
		}
		if cmd.Flags().Changed("time-zone") {
			body["time_zone"] = zone
		}
		if values, err := plan.values(cmd.Flags()); err != nil {
			return err
		} else if len(values) > 0 {
			body["plan"] = values
		}
		return c.record(cmd, http.MethodPost, client.Path("v1", "products"), nil, body)
	})
	cmd.Use = "create PRODUCT --account ACCOUNT [flags]"
	cmd.Flags().StringVar(&account, "account", "", "account that it belongs to, for ever")
	cmd.Flags().StringVar(&name, "name", "", "what people call it")
	cmd.Flags().
		StringVar(&zone, "time-zone", "", "IANA name or ±HH:MM in which its days begin, for ever (default: the daemon's)")
	plan.add(cmd.Flags())
	c.offers(cmd, "account", "ACCOUNT")
	return cmd
}

func (c *ctl) planCommand() *cobra.Command {
	cmd := group("plan", "What each device of a product may do")
	var plan planFlags
	set := c.verb(
		"set PRODUCT",
		"Change a product's plan; what is not named stays",
		func(cmd *cobra.Command, args []string) error {
			values, err := plan.values(cmd.Flags())
			switch {
			case err != nil:
				return err
			case len(values) == 0:
				return usageError{fmt.Errorf("%s needs at least one value to change", cmd.CommandPath())}
			}
			return c.record(cmd, http.MethodPut, client.Path("v1", "products", args[0], "plan"), nil, values)
		},
	)
	plan.add(set.Flags())
	cmd.AddCommand(set)
	return cmd
}

func (c *ctl) renewalCommand() *cobra.Command {
	cmd := group("renewal", "Whether devices are given a new licence when theirs ends")
	path := func(args []string) string { return client.Path("v1", "products", args[0], "renewal") }
	var except []string
	set := c.verb("set PRODUCT on|off", "Switch renewal on or off for all devices but those excepted, who are not renewed",
		func(cmd *cobra.Command, args []string) error {
			for _, device := range except {
				if err := checkName("--except", device); err != nil {
					return usageError{err}
				}
			}
			// The list is always sent, so that the command says all of what holds afterwards.
			body := map[string]any{"auto_renew": args[1] == "on", "except": append([]string{}, except...)}
			return c.record(cmd, http.MethodPut, path(args), nil, body)
		})
	set.Flags().
		StringSliceVar(&except, "except", nil, "devices that are not renewed although the rest is, instead of those named "+
			"before")
	cmd.AddCommand(
		c.verb("get PRODUCT", "Show the switch", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, path(args), nil, nil)
		}),
		set,
	)
	return cmd
}

func (c *ctl) logPayloadCommand() *cobra.Command {
	cmd := group("log-payload", "What of payloads is kept in the raw log")
	path := func(args []string) string { return client.Path("v1", "products", args[0], "log-payload") }
	cmd.AddCommand(
		c.verb("get PRODUCT", "Show what is kept", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, path(args), nil, nil)
		}),
		c.verb("set PRODUCT full|none", "Keep as much of payloads as the daemon does, or nothing, of events from now on",
			func(cmd *cobra.Command, args []string) error {
				return c.record(cmd, http.MethodPut, path(args), nil, map[string]any{"keep": args[1]})
			}),
	)
	return cmd
}

func (c *ctl) enforcementCommand() *cobra.Command {
	cmd := group("enforcement", "Whether the quotas of messages and OTA deny events")
	path := func(args []string) string { return client.Path("v1", "products", args[0], "enforcement") }
	cmd.AddCommand(
		c.verb("get PRODUCT", "Show what the quotas do", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, path(args), nil, nil)
		}),
		c.verb("set PRODUCT enforce|observe", "Deny what is beyond the quotas, or accept it and say that they would deny it",
			func(cmd *cobra.Command, args []string) error {
				return c.record(cmd, http.MethodPut, path(args), nil, map[string]any{"mode": args[1]})
			}),
	)
	return cmd
}

var forecastColumns = []column{
	{"FROM", "from"},
	{"RENEWALS", "renewals"},
	{"ACTIVATIONS", "activations"},
	{"NEEDED", "needed"},
	{"AVAILABLE AFTER", "available_after"},
}

func (c *ctl) forecastVerb() *cobra.Command {
	var weeks uint
	cmd := c.verb(
		"forecast PRODUCT",
		"Show how long a product's licences last",
		func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if cmd.Flags().Changed("weeks") {
				query.Set("weeks", fmt.Sprint(weeks))
			}
			path := client.Path("v1", "products", args[0], "forecast")
			return c.rowsAndRest(cmd, path, query, "weeks", forecastColumns)
		},
	)
	cmd.Flags().UintVar(&weeks, "weeks", 26, "how far to look")
	return cmd
}
