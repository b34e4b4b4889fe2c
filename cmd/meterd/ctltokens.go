package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var tokenColumns = []column{
	{"TOKEN", "name"},
	{"ROLE", "role"},
	{"ACCOUNT", "account"},
	{"CREATED AT", "created_at"},
	{"EXPIRES AT", "expires_at"},
}

func (c *ctl) tokensCommand() *cobra.Command {
	cmd := group("tokens", "Who may ask, and what")
	cmd.AddCommand(
		c.listVerb("List the tokens, without their secrets", func() list {
			return list{path: client.Path("v1", "tokens"), member: "tokens", columns: tokenColumns}
		}),
		c.createTokenVerb(),
		c.verb("delete TOKEN", "Delete a token; it is refused from then on", func(cmd *cobra.Command, args []string) error {
			return c.done(cmd, http.MethodDelete, client.Path("v1", "tokens", args[0]), "token "+args[0]+" deleted")
		}),
	)
	return cmd
}

func (c *ctl) createTokenVerb() *cobra.Command {
	var role, account, expiresIn string
	cmd := c.verb(
		"create NAME",
		"Create a token and print its secret, which is never shown again",
		func(cmd *cobra.Command, args []string) error {
			if err := needs(cmd, "role"); err != nil {
				return err
			}
			// An empty --account, from a variable that is not set, must not make a token that sees everything.
			if err := namesGiven(cmd, "account"); err != nil {
				return err
			}
			body := map[string]any{"name": args[0], "role": role}
			if account != "" {
				body["account"] = account
			}
			if cmd.Flags().Changed("expires-in") {
				body["expires_in"] = expiresIn
			}
			path := client.Path("v1", "tokens")
			if c.output != asTable {
				return c.record(cmd, http.MethodPost, path, nil, body)
			}
			return c.printSecret(cmd, path, body)
		},
	)
	cmd.Use = "create TOKEN --role admin|gateway|billing|viewer [flags]"
	cmd.Flags().StringVar(&role, "role", "", "admin, gateway, billing or viewer")
	cmd.Flags().StringVar(&account, "account", "", "account that it is bound to (default: none, it sees all)")
	cmd.Flags().
		StringVar(&expiresIn, "expires-in", "", "ISO 8601 period such as P90D after which it ends (default: never)")
	choices(cmd, "role", "admin", "gateway", "billing", "viewer")
	c.offers(cmd, "account", "ACCOUNT")
	return cmd
}

// printSecret prints nothing but the secret, so that a shell can keep it.
func (c *ctl) printSecret(cmd *cobra.Command, path string, body any) error {
	answer, err := c.call(cmd, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	var created struct{ Token string }
	if err := json.Unmarshal(answer, &created); err != nil || created.Token == "" {
		return errors.New("the token was created, but the answer does not hold its secret: delete it and create another one")
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(created.Token))
	return err
}
