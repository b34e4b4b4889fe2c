package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var usageColumns = []column{
	{"FROM", "from"},
	{"TO", "to"},
	{"PRODUCT", "product"},
	{"UP", "messages_up"},
	{"DOWN", "messages_down"},
	{"DENIED", "messages_denied"},
	{"OTA UNITS", "ota_units"},
	{"OF PACKS", "ota_topup_units"},
	{"OTA DENIED", "ota_denied"},
	{"LICENSES", "licenses_consumed"},
	{"PARTIAL", "partial"},
}

// usageCommand shows what was used, window by window. Its answer is not paged.
func (c *ctl) usageCommand() *cobra.Command {
	var product, account, from, to, window, zone string
	cmd := c.verb("usage", "Show what a product or an account used, by hours, days or months",
		func(cmd *cobra.Command, _ []string) error {
			if err := namesGiven(cmd, "product", "account"); err != nil {
				return err
			}
			if (product == "") == (account == "") {
				return usageError{fmt.Errorf("%s needs either --product or --account", cmd.CommandPath())}
			}
			query := url.Values{}
			for name, value := range map[string]string{
				"product": product, "account": account, "window": window, "time_zone": zone,
			} {
				if value != "" {
					query.Set(name, value)
				}
			}
			err := errors.Join(setInstant(query, cmd, "from", from), setInstant(query, cmd, "to", to))
			if err != nil {
				return err
			}
			answer, err := c.call(cmd, http.MethodGet, client.Path("v1", "usage"), query, nil)
			if err != nil {
				return err
			}
			return c.showUsage(cmd, answer, usageColumns)
		})
	cmd.Use = "usage --product PRODUCT|--account ACCOUNT [flags]"
	cmd.Flags().StringVar(&product, "product", "", "of this product")
	cmd.Flags().StringVar(&account, "account", "", "of all products of this account")
	cmd.Flags().StringVar(&from, "from", "", "from then on (default: since the month began): "+instantHelp)
	cmd.Flags().StringVar(&to, "to", "", "until then (default: now): "+instantHelp)
	cmd.Flags().StringVar(&window, "window", "", "hour, day or month (default: day)")
	cmd.Flags().StringVar(&zone, "time-zone", "", "whose hours, days and months: IANA name or ±HH:MM (default: UTC)")
	c.offers(cmd, "product", "PRODUCT")
	c.offers(cmd, "account", "ACCOUNT")
	choices(cmd, "window", "hour", "day", "month")
	return cmd
}

// showUsage shows an answer about usage, and tells people when it begins later than they asked for.
func (c *ctl) showUsage(cmd *cobra.Command, answer json.RawMessage, columns []column) error {
	if c.output == asJSON {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
		return err
	}
	var usage struct {
		Rows          []json.RawMessage `json:"rows"`
		AvailableFrom string            `json:"available_from"`
	}
	if err := json.Unmarshal(answer, &usage); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	out := c.newElements(cmd.OutOrStdout(), "rows", columns, 0)
	for _, row := range usage.Rows {
		if err := out.element(row); err != nil {
			return err
		}
	}
	if err := out.end(true); err != nil {
		return err
	}
	if usage.AvailableFrom == "" {
		return nil
	}
	_, err := fmt.Fprintf(
		cmd.ErrOrStderr(),
		"what was used before %s is not kept\n",
		strings.TrimSpace(usage.AvailableFrom),
	)
	return err
}
