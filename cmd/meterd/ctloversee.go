package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var producerColumns = []column{
	{"PRODUCER", "producer"},
	{"ACCOUNT", "account"},
	{"LAST SEQUENCE", "last_sequence"},
	{"OLDEST REMEMBERED", "oldest_remembered"},
	{"LAST SEEN AT", "last_seen_at"},
	{"DEVICES", "devices"},
}

func (c *ctl) producersCommand() *cobra.Command {
	cmd := group("producers", "Gateways, by the names that they call themselves")
	var devices bool
	listing := c.listOfVerb("list", "List the gateways", func(*cobra.Command, []string) (list, error) {
		l := list{
			path: client.Path("v1", "producers"), member: "producers", columns: producerColumns, query: url.Values{},
		}
		if devices {
			l.query.Set("devices", "true")
		}
		return l, nil
	})
	listing.Flags().BoolVar(&devices, "devices", false, "count the devices that each holds, looking at all devices")
	cmd.AddCommand(listing)
	return cmd
}

var diskColumns = []column{{"KIND", "kind"}, {"BYTES", "bytes"}, {"A DAY", "growth_bytes_per_day"}}

func (c *ctl) diskCommand() *cobra.Command {
	return c.verb("disk", "Show what the data takes on the disk, and how long that lasts",
		func(cmd *cobra.Command, _ []string) error {
			return c.rowsAndRest(cmd, client.Path("v1", "disk"), nil, "kinds", diskColumns)
		})
}

// topDevicesVerb shows the devices of a product that used most.
func (c *ctl) topDevicesVerb() *cobra.Command {
	var by, from, to string
	var limit uint
	cmd := c.verb("top PRODUCT", "Show the devices of a product that used most, or were denied most",
		func(cmd *cobra.Command, args []string) error {
			query := given(cmd, "from", "to", "limit")
			query.Set("by", by)
			columns := append([]column{{"DEVICE", "device"}}, dayColumns[1:]...)
			return c.rowsAndRest(cmd, client.Path("v1", "products", args[0], "devices", "top"), query, "top", columns)
		})
	cmd.Flags().StringVar(&by, "by", "messages", "of what: messages, denied or ota")
	cmd.Flags().StringVar(&from, "from", "", "first day, such as 2026-11-01 (default: the first one of the month)")
	cmd.Flags().StringVar(&to, "to", "", "last day, itself included (default: the running one)")
	cmd.Flags().UintVar(&limit, "limit", 20, "at most so many, 100 at most")
	choices(cmd, "by", "messages", "denied", "ota")
	return cmd
}

var whatIfColumns = []column{
	{"DAY", "day"}, {"DEVICES DENIED", "devices_denied"}, {"MESSAGES DENIED", "messages_denied"},
}

// whatIfVerb shows what another quota would have denied.
func (c *ctl) whatIfVerb() *cobra.Command {
	var messages, days uint
	cmd := c.verb("what-if PRODUCT", "Show what another quota of messages would have denied of late",
		func(cmd *cobra.Command, args []string) error {
			if err := needs(cmd, "messages-per-day"); err != nil {
				return err
			}
			query := given(cmd, "days")
			query.Set("messages_per_day", fmt.Sprint(messages))
			return c.rowsAndRest(cmd, client.Path("v1", "products", args[0], "what-if"), query, "days", whatIfColumns)
		})
	cmd.Use = "what-if PRODUCT --messages-per-day N [flags]"
	cmd.Flags().UintVar(&messages, "messages-per-day", 0, "units a day")
	cmd.Flags().UintVar(&days, "days", 7, "how many days, the running one included")
	return cmd
}
