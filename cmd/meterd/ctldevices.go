package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var deviceColumns = []column{
	{"DEVICE", "device"},
	{"STATE", "state"},
	{"ONLINE", "online"},
	{"HOLDER", "holder"},
	{"SUSPENDED", "suspended"},
	{"EXPIRES AT", "expires_at"},
	{"LAST SEEN AT", "last_seen_at"},
	{"UP", "messages.up"},
	{"DOWN", "messages.down"},
	{"DENIED", "messages.denied"},
	{"LIMIT", "messages.limit"},
}

func (c *ctl) devicesCommand() *cobra.Command {
	cmd := group("devices", "Devices that were ever active")
	var state string
	var online bool
	listing := c.listOfVerb(
		"list PRODUCT",
		"List the devices of a product",
		func(cmd *cobra.Command, args []string) (list, error) {
			l := list{
				path:    client.Path("v1", "products", args[0], "devices"),
				member:  "devices",
				columns: deviceColumns,
				query:   url.Values{},
			}
			if cmd.Flags().Changed("state") {
				l.query.Set("state", state)
			}
			if cmd.Flags().Changed("online") {
				l.query.Set("online", strconv.FormatBool(online))
			}
			return l, nil
		},
	)
	listing.Flags().StringVar(&state, "state", "", "only active or unactivated ones")
	listing.Flags().BoolVar(&online, "online", false, "only those online, or with --online=false those offline")
	choices(listing, "state", "active", "unactivated")
	cmd.AddCommand(
		listing,
		c.verb("get PRODUCT DEVICE", "Show a device", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, client.Path("v1", "products", args[0], "devices", args[1]), nil, nil)
		}),
		c.checkVerb(), c.deviceUsageVerb(), c.productMonthVerb(), c.topDevicesVerb(),
		c.verb("erase-logs PRODUCT DEVICE", "Erase topics and payloads of a device's log up to now",
			func(cmd *cobra.Command, args []string) error {
				path := client.Path("v1", "products", args[0], "devices", args[1], "logs")
				return c.record(cmd, http.MethodDelete, path, nil, nil)
			}),
	)
	c.addSuspension(cmd, "PRODUCT DEVICE", func(args []string) string {
		return client.Path("v1", "products", args[0], "devices", args[1], "suspended")
	})
	return cmd
}

// checkVerb asks what would be answered to an event of a device. A denial is an error, as it is to the event.
func (c *ctl) checkVerb() *cobra.Command {
	var size int64
	var id string
	cmd := c.verb("check PRODUCT DEVICE TYPE", "Say whether an event of a device would be accepted; it counts nothing",
		func(cmd *cobra.Command, args []string) error {
			event := map[string]any{"product": args[0], "device": args[1], "type": args[2]}
			if cmd.Flags().Changed("size") {
				event["size"] = size
			}
			if id != "" {
				event["id"] = id
			}
			return c.record(cmd, http.MethodPost, client.Path("v1", "check"), nil, event)
		})
	cmd.Flags().Int64Var(&size, "size", 0, "bytes of the message or of the firmware package")
	cmd.Flags().StringVar(&id, "id", "", "id of an OTA")
	return cmd
}

var licenseColumns = []column{
	{"SERIAL", "serial"},
	{"PRODUCT", "product"},
	{"DEVICE", "device"},
	{"SOURCE", "source"},
	{"ACTIVATED AT", "activated_at"},
	{"EXPIRES AT", "expires_at"},
	{"STATE", "state"},
}

func (c *ctl) licensesCommand() *cobra.Command {
	cmd := group("licenses", "Licences that devices have consumed")
	var product, account, expiringBefore, state, device, source string
	listing := c.listOfVerb(
		"list",
		"List the licences consumed of a product or an account",
		func(cmd *cobra.Command, _ []string) (list, error) {
			if err := namesGiven(cmd, "product", "account"); err != nil {
				return list{}, err
			}
			l := list{member: "licenses", columns: licenseColumns, query: given(cmd, "state", "device", "source")}
			switch {
			case (product == "") == (account == ""):
				return list{}, usageError{fmt.Errorf("%s needs either --product or --account", cmd.CommandPath())}
			case product != "":
				l.path = client.Path("v1", "products", product, "licenses")
			default:
				l.path = client.Path("v1", "accounts", account, "licenses")
			}
			return l, setInstant(l.query, cmd, "expiring-before", expiringBefore)
		},
	)
	listing.Use = "list --product PRODUCT|--account ACCOUNT [flags]"
	listing.Flags().StringVar(&product, "product", "", "those of this product")
	listing.Flags().StringVar(&account, "account", "", "those of this account")
	listing.Flags().StringVar(&expiringBefore, "expiring-before", "", "only active ones that end before: "+instantHelp)
	listing.Flags().StringVar(&state, "state", "", "only active or ended ones")
	listing.Flags().StringVar(&device, "device", "", "only those of this device")
	listing.Flags().StringVar(&source, "source", "", "only those of this lot, or gift")
	choices(listing, "state", "active", "ended")
	c.offers(listing, "product", "PRODUCT")
	c.offers(listing, "account", "ACCOUNT")
	cmd.AddCommand(listing)
	return cmd
}

// setInstant adds the instant that a flag was given to a query, under the flag's name.
func setInstant(query url.Values, cmd *cobra.Command, flag, text string) error {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	at, err := parseInstant(text, time.Now())
	if err != nil {
		return usageError{fmt.Errorf("--%s %w", flag, err)}
	}
	query.Set(strings.ReplaceAll(flag, "-", "_"), at.Format(time.RFC3339Nano))
	return nil
}
