package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

var logColumns = []column{
	{"DECIDED AT", "decided_at"},
	{"TYPE", "type"},
	{"SIZE", "size"},
	{"VERDICT", "verdict"},
	{"DAY USED", "day_used"},
	{"WOULD DENY", "would_deny"},
	{"LIMIT", "limit"}, // of the quota that denied the event or would have, as are the next two
	{"USED", "used"},
	{"RESETS AT", "resets_at"},
	{"TOPIC", "topic"},
	{"PAYLOAD", "payload|payload_base64"},
}

// mediaParquet is the media type of a log as one Parquet file.
const mediaParquet = "application/vnd.apache.parquet"

// logsCommand shows the raw log of a device or of all devices of a product.
func (c *ctl) logsCommand() *cobra.Command {
	var from, to, parquet string
	var follow bool
	var limit uint
	cmd := c.verb("logs PRODUCT [DEVICE]", "Show the raw log of a product or of one of its devices, newest first",
		func(cmd *cobra.Command, args []string) error {
			l := list{
				path: client.Path("v1", "products", args[0], "logs"), member: "logs",
				columns: slices.Insert(slices.Clone(logColumns), 1, column{"DEVICE", "device"}),
				query:   given(cmd, "type", "verdict", "topic", "order"), streamed: true, limit: limit, followed: follow,
			}
			if len(args) == 2 {
				l.path = client.Path("v1", "products", args[0], "devices", args[1], "logs")
				l.columns = logColumns
			}
			err := errors.Join(
				c.checkLogFlags(cmd, len(args) == 2), setInstant(l.query, cmd, "from", from), setInstant(l.query, cmd, "to", to),
			)
			if len(args) == 1 && !c.flags.Changed("timeout") {
				c.timeout = productLogTimeout
			}
			switch {
			case err != nil:
				return usageError{err}
			case parquet != "":
				return c.downloadLog(cmd, l.path, l.query, parquet)
			}
			return c.show(cmd, l)
		})
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "only what was decided from then on: "+instantHelp)
	f.StringVar(&to, "to", "", "only what was decided before: "+instantHelp)
	f.String("type", "", "only events of this type")
	f.String("verdict", "", "only events that were answered so: accepted, or the code of a denial")
	f.String("topic", "", "only events of exactly this topic")
	f.String("order", "", "desc, newest first, or asc (default: desc)")
	f.UintVar(&limit, "limit", 0, "show at most so many (default: all)")
	f.BoolVarP(&follow, "follow", "f", false, "show what comes, until it is interrupted: from now on, or from --from on")
	f.StringVar(&parquet, "parquet", "", "write a product's log to this file, as Parquet, oldest first; - is the output")
	choices(cmd, "type", event.Connect.String(), event.Disconnect.String(), event.Up.String(), event.Down.String(),
		event.OTA.String(), event.OTAVoid.String())
	choices(cmd, "verdict", loggedVerdicts()...)
	choices(cmd, "order", "asc", "desc")
	return cmd
}

// checkLogFlags refuses flags that do not go together.
func (c *ctl) checkLogFlags(cmd *cobra.Command, ofDevice bool) error {
	var errs []error
	apart := func(flag string, others ...string) {
		if !cmd.Flags().Changed(flag) {
			return
		}
		for _, other := range others {
			if cmd.Flags().Changed(other) {
				errs = append(errs, fmt.Errorf("--%s does not go with --%s", flag, other))
			}
		}
	}
	apart("parquet", "follow", "limit", "order")
	apart("follow", "to", "order")
	if follow, _ := cmd.Flags().GetBool("follow"); follow && c.output == asJSON {
		errs = append(errs, errors.New("--follow has no end, so it cannot be one JSON list: give -o ndjson, or none"))
	}
	if cmd.Flags().Changed("parquet") && ofDevice {
		errs = append(errs, errors.New("--parquet is of a whole product: leave out DEVICE"))
	}
	return errors.Join(errs...)
}

// loggedVerdicts are what an event of the log can have been answered.
func loggedVerdicts() (list []string) {
	for _, code := range event.EventCodes() {
		if code != event.UnknownProduct && code != event.InvalidEvent {
			list = append(list, code.String())
		}
	}
	return list
}

// downloadLog writes a log to a file, under a name of its own until it is whole: a Parquet file that breaks off has no
// footer, and no program reads it.
func (c *ctl) downloadLog(cmd *cobra.Command, path string, query url.Values, file string) error {
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	write := func(w io.Writer) (int64, error) {
		n, err := admin.DownloadAs(cmd.Context(), mediaParquet, path, query, w)
		if err != nil {
			return n, c.explain(err)
		}
		return n, nil
	}
	if file == "-" {
		_, err := write(cmd.OutOrStdout())
		return err
	}
	part := file + ".part"
	out, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("create a file: %w", err)
	}
	n, err := write(out)
	if err != nil {
		return errors.Join(err, out.Close(), os.Remove(part))
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write %q: %w", part, err)
	}
	if err := os.Rename(part, file); err != nil {
		return fmt.Errorf("give a file its name: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %d bytes\n", file, n)
	return err
}
