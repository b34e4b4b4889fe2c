package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

// choices offers words for a flag.
func choices(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(
		flag,
		cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp),
	); err != nil {
		panic("BUG: " + err.Error())
	}
}

// offers has names of a kind, such as PRODUCT, offered for a flag.
func (c *ctl) offers(cmd *cobra.Command, flag, kind string) {
	err := cmd.RegisterFlagCompletionFunc(
		flag,
		func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return c.complete(cmd.Context(), kind, args), cobra.ShellCompDirectiveNoFileComp
		},
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
}

// complete returns what an argument of a kind may be, from the daemon's first thousand; the shell picks those that fit.
// args are the arguments before it. Whatever goes wrong, it returns nothing: a shell that completes has no place for
// errors.
func (c *ctl) complete(ctx context.Context, kind string, args []string) []string {
	var path, member, name string
	switch kind {
	case "ACCOUNT":
		path, member, name = client.Path("v1", "accounts"), "accounts", "account"
	case "PRODUCT":
		path, member, name = client.Path("v1", "products"), "products", "product"
	case "TOKEN":
		path, member, name = client.Path("v1", "tokens"), "tokens", "name"
	case "SNAPSHOT":
		path, member, name = client.Path("v1", "snapshots"), "snapshots", "id"
	case "WEBHOOK":
		path, member, name = client.Path("v1", "webhooks"), "webhooks", "name"
	case "LOT":
		path, member, name = client.Path("v1", "products", args[0], "lots"), "lots", "order"
	case "TOPUP":
		path, member, name = client.Path("v1", "products", args[0], "topups"), "topups", "order"
	default:
		if strings.Contains(kind, "|") {
			return strings.Split(kind, "|")
		}
		return nil // Devices are too many to offer; what is new has no name yet.
	}
	if c.resolve() != nil {
		return nil
	}
	admin, err := c.admin()
	if err != nil {
		return nil
	}
	defer admin.Close()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	var answer map[string]json.RawMessage
	var elements []map[string]json.RawMessage
	if admin.Call(ctx, http.MethodGet, path, url.Values{"limit": {"1000"}}, nil, &answer) != nil ||
		json.Unmarshal(answer[member], &elements) != nil {
		return nil
	}
	var names []string
	for _, e := range elements {
		var text string
		if json.Unmarshal(e[name], &text) == nil && checkName(kind, text) == nil {
			names = append(names, text)
		}
	}
	return names
}
