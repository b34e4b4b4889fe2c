package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var auditColumns = []column{
	{"AT", "at"},
	{"TOKEN", "token"},
	{"ACTION", "action"},
	{"TARGET", "target"},
	{"DETAIL", "detail"},
}

func (c *ctl) auditCommand() *cobra.Command {
	cmd := c.listVerb("Show who changed what, newest first", func() list {
		return list{path: client.Path("v1", "audit"), member: "entries", columns: auditColumns}
	})
	cmd.Use = "audit [flags]"
	return cmd
}

func (c *ctl) clockCommand() *cobra.Command {
	cmd := group("clock", "The daemon's clock")
	cmd.AddCommand(
		c.verb(
			"confirm",
			"Accept a clock that leapt ahead, so that events are taken again; what began with it cannot be taken back",
			func(cmd *cobra.Command, _ []string) error {
				return c.done(cmd, http.MethodPost, client.Path("v1", "clock", "confirm"), "clock confirmed")
			},
		),
	)
	return cmd
}
