package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var accountColumns = []column{
	{"ACCOUNT", "account"},
	{"KIND", "kind"},
	{"REGION", "region"},
	{"SUSPENDED", "suspended"},
	{"TOTAL", "licenses.total"},
	{"USED", "licenses.used"},
	{"AVAILABLE", "licenses.available"},
	{"GIFTS LEFT", "licenses.gift.available"},
}

func (c *ctl) accountsCommand() *cobra.Command {
	cmd := group("accounts", "Customers and their licences")
	cmd.AddCommand(
		c.listVerb("List the accounts", func() list {
			return list{path: client.Path("v1", "accounts"), member: "accounts", columns: accountColumns}
		}),
		c.verb("get ACCOUNT", "Show an account", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, client.Path("v1", "accounts", args[0]), nil, nil)
		}),
		c.createAccountVerb(),
		c.verb(
			"certify ACCOUNT",
			"Make a personal account an enterprise, with the gifts of one",
			func(cmd *cobra.Command, args []string) error {
				return c.record(cmd, http.MethodPost, client.Path("v1", "accounts", args[0], "certify"), nil, nil)
			},
		),
	)
	c.addSuspension(
		cmd,
		"ACCOUNT",
		func(args []string) string { return client.Path("v1", "accounts", args[0], "suspended") },
	)
	return cmd
}

func (c *ctl) createAccountVerb() *cobra.Command {
	var kind, region string
	cmd := c.verb("create NAME", "Create an account", func(cmd *cobra.Command, args []string) error {
		if err := needs(cmd, "kind"); err != nil {
			return err
		}
		body := map[string]any{"account": args[0], "kind": kind}
		if cmd.Flags().Changed("region") {
			body["region"] = region
		}
		return c.record(cmd, http.MethodPost, client.Path("v1", "accounts"), nil, body)
	})
	cmd.Use = "create ACCOUNT --kind personal|enterprise [flags]"
	cmd.Flags().StringVar(&kind, "kind", "", "personal or enterprise")
	cmd.Flags().
		StringVar(&region, "region", "", "its data centre, refused if it is not the daemon's (default: the daemon's)")
	choices(cmd, "kind", "personal", "enterprise")
	return cmd
}

// addSuspension adds the verbs suspend and resume for what words name and path leads to.
func (c *ctl) addSuspension(cmd *cobra.Command, words string, path func(args []string) string) {
	for verb, suspended := range map[string]bool{"suspend": true, "resume": false} {
		short := "Let its devices be online again"
		if suspended {
			short = "Put its devices offline and keep them there; validity runs on"
		}
		cmd.AddCommand(c.verb(verb+" "+words, short, func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodPut, path(args), nil, map[string]any{"suspended": suspended})
		}))
	}
}

// listVerb returns a verb that shows a list that takes no arguments.
func (c *ctl) listVerb(short string, of func() list) *cobra.Command {
	return c.listOfVerb("list", short, func(*cobra.Command, []string) (list, error) { return of(), nil })
}

// listOfVerb returns a verb that shows a list.
func (c *ctl) listOfVerb(use, short string, of func(cmd *cobra.Command, args []string) (list, error)) *cobra.Command {
	var limit uint
	cmd := c.verb(use, short, func(cmd *cobra.Command, args []string) error {
		l, err := of(cmd, args)
		if err != nil {
			return err
		}
		l.limit = limit
		return c.show(cmd, l)
	})
	cmd.Flags().UintVar(&limit, "limit", 0, "show at most so many (default: all)")
	return cmd
}
