package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

// signInCommand prints nothing but a link, so that it can be opened or sent.
func (c *ctl) signInCommand() *cobra.Command {
	return c.verb("sign-in", "Print a link that opens the console as an administrator, once and within 15 minutes",
		func(cmd *cobra.Command, _ []string) error {
			path := client.Path("v1", "sign-in", "codes")
			if c.output != asTable {
				return c.record(cmd, http.MethodPost, path, nil, nil)
			}
			answer, err := c.call(cmd, http.MethodPost, path, nil, nil)
			if err != nil {
				return err
			}
			var invitation struct{ Code string }
			if err := json.Unmarshal(answer, &invitation); err != nil || invitation.Code == "" {
				return errors.New("the answer holds no code: ask again")
			}
			first, _, _ := strings.Cut(c.url, ",") // Of several nodes; they sign in alike.
			_, err = fmt.Fprintln(cmd.OutOrStdout(), signInLink(strings.TrimRight(first, "/"), printable(invitation.Code)))
			return err
		})
}

// signInLink is where the console signs in with a code. Browsers send nobody what stands behind #.
func signInLink(url, code string) string { return url + "/#sign-in=" + code }
