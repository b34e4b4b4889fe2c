package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var webhookColumns = []column{
	{"WEBHOOK", "name"},
	{"ACCOUNT", "account"},
	{"STATE", "state"},
	{"QUEUED", "queued"},
	{"DELIVERED", "delivered"},
	{"DEAD", "dead_letters"},
	{"LAST ERROR", "last_error"},
	{"URL", "url"},
}

var deadLetterColumns = []column{
	{"ID", "id"},
	{"EVENT", "event"},
	{"QUEUED AT", "queued_at"},
	{"DIED AT", "died_at"},
	{"TRIES", "tries"},
	{"ERROR", "error"},
}

func (c *ctl) webhooksCommand() *cobra.Command {
	cmd := group("webhooks", "URLs that are told what happens")
	cmd.AddCommand(
		c.listVerb("List the webhooks and how their deliveries stand", func() list {
			return list{path: client.Path("v1", "webhooks"), member: "webhooks", columns: webhookColumns}
		}),
		c.setWebhookVerb(),
		c.verb("show WEBHOOK", "Show a webhook, without its secret", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, client.Path("v1", "webhooks", args[0]), nil, nil)
		}),
		c.verb("delete WEBHOOK", "Delete a webhook; what waits for it is not delivered",
			func(cmd *cobra.Command, args []string) error {
				return c.done(cmd, http.MethodDelete, client.Path("v1", "webhooks", args[0]), "webhook "+args[0]+" deleted")
			}),
		c.listOfVerb("dead-letters WEBHOOK", "List the messages that were given up",
			func(_ *cobra.Command, args []string) (list, error) {
				path := client.Path("v1", "webhooks", args[0], "dead-letters")
				return list{path: path, member: "dead_letters", columns: deadLetterColumns}, nil
			}),
		c.verb("retry WEBHOOK ID", "Send a dead letter again", func(cmd *cobra.Command, args []string) error {
			path := client.Path("v1", "webhooks", args[0], "dead-letters", args[1], "retry")
			return c.record(cmd, http.MethodPost, path, nil, map[string]any{})
		}),
	)
	return cmd
}

func (c *ctl) setWebhookVerb() *cobra.Command {
	var url, account string
	var events []string
	var licensesLow, packsLow uint64
	var newSecret bool
	cmd := c.verb("set NAME", "Make or change a webhook; the secret of a new one is printed, and never shown again",
		func(cmd *cobra.Command, args []string) error {
			if err := needs(cmd, "url", "events"); err != nil {
				return err
			}
			// An empty --account, from a variable that is not set, must not make a webhook that is told everything.
			if err := namesGiven(cmd, "account"); err != nil {
				return err
			}
			body := map[string]any{"url": url, "events": events}
			if account != "" {
				body["account"] = account
			}
			if licensesLow != 0 {
				body["licenses_low_percent"] = licensesLow
			}
			if packsLow != 0 {
				body["packs_low_percent"] = packsLow
			}
			if newSecret {
				body["new_secret"] = true
			}
			path := client.Path("v1", "webhooks", args[0])
			if c.output != asTable {
				return c.record(cmd, http.MethodPut, path, nil, body)
			}
			return c.printHookSecret(cmd, path, body, newSecret)
		})
	cmd.Use = "set WEBHOOK --url URL --events EVENT,… [flags]"
	f := cmd.Flags()
	f.StringVar(&url, "url", "", "where messages are posted")
	f.StringSliceVar(&events, "events", nil, "what it is told of, for example device.quota_100,product.licenses_low")
	f.StringVar(&account, "account", "", "account whose events it is told (default: all, and those of the daemon)")
	f.Uint64Var(&licensesLow, "licenses-low-percent", 0, "licences left when it is told, 1 to 99 percent (default 10)")
	f.Uint64Var(&packsLow, "packs-low-percent", 0, "OTA units left when it is told, 1 to 99 percent (default 10)")
	f.BoolVar(&newSecret, "new-secret", false, "give it another secret; the old one signs too for a day")
	c.offers(cmd, "account", "ACCOUNT")
	return cmd
}

// printHookSecret prints the secret alone when there is a new one, so that a shell can keep it.
func (c *ctl) printHookSecret(cmd *cobra.Command, path string, body any, asked bool) error {
	answer, err := c.call(cmd, http.MethodPut, path, nil, body)
	if err != nil {
		return err
	}
	var set struct{ Name, Secret string }
	if err := json.Unmarshal(answer, &set); err != nil || asked && set.Secret == "" {
		return errors.New("the webhook was set, but the answer does not hold its secret: set it again with --new-secret")
	}
	if set.Secret == "" {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "webhook "+printable(set.Name)+" changed")
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(set.Secret))
	return err
}
