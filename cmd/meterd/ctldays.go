package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var dayColumns = []column{
	{"DAY", "day"},
	{"UP", "up"},
	{"DOWN", "down"},
	{"DENIED", "denied"},
	{"OTA UNITS", "ota_units"},
}

// deviceUsageVerb shows what one device used, day by day. Its answer is not paged.
func (c *ctl) deviceUsageVerb() *cobra.Command {
	var from, to string
	cmd := c.verb("usage PRODUCT DEVICE", "Show what a device used, day by day",
		func(cmd *cobra.Command, args []string) error {
			path := client.Path("v1", "products", args[0], "devices", args[1], "usage")
			answer, err := c.call(cmd, http.MethodGet, path, given(cmd, "from", "to"), nil)
			if err != nil {
				return err
			}
			return c.showUsage(cmd, answer, dayColumns)
		})
	cmd.Flags().StringVar(&from, "from", "", "first day, such as 2026-11-01 (default: the first one of the month)")
	cmd.Flags().StringVar(&to, "to", "", "last day, itself included (default: the running one)")
	return cmd
}

// productMonthVerb shows what every device of a product used in a month, day by day, as it comes.
func (c *ctl) productMonthVerb() *cobra.Command {
	var month string
	cmd := c.verb("month PRODUCT", "Show what each device of a product used in a month, day by day",
		func(cmd *cobra.Command, args []string) error {
			return c.show(cmd, list{
				path: client.Path("v1", "products", args[0], "devices", "usage"), member: "rows",
				columns: append([]column{{"DEVICE", "device"}}, dayColumns...), query: url.Values{"month": {month}},
				streamed: true,
			})
		})
	cmd.Flags().StringVar(&month, "month", "", "such as 2026-11 (default: the running one)")
	return cmd
}

// given returns the flags that were given as parameters of a query.
func given(cmd *cobra.Command, flags ...string) url.Values {
	query := url.Values{}
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f.Changed {
			query.Set(name, f.Value.String())
		}
	}
	return query
}
