package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard"
)

// offlineName is whom the audit log names for a token that was made on a stopped directory.
const offlineName = "offline"

// tokenOptions are the flags of token create.
type tokenOptions struct {
	data, region, name, role, account, expiresIn, out string
}

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token while the daemon is stopped",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(tokenCreateCommand())
	return cmd
}

func tokenCreateCommand() *cobra.Command {
	o := &tokenOptions{}
	cmd := &cobra.Command{
		Use:   "create --name NAME --role ROLE",
		Short: "Make a token in the data directory of a stopped daemon and print its secret",
		Long: `Make a token in the data directory of a stopped daemon and print its secret, which is stored nowhere else.
It is the way back in when every administrator's token is lost. While the daemon runs, tokens are made with
POST /v1/tokens.`,
		Example: "  meterd token create --data /var/lib/meterd --name admin-2 --role admin --expires-in P1D",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if cmd.Flags().Changed("account") && o.account == "" {
				return errors.New(
					"--account is empty: name the account that the token is bound to, or leave the flag out for a token that sees all",
				)
			}
			return createTokenOffline(o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "./data", "data directory")
	f.StringVar(&o.region, "region", "default", "this data centre, as the daemon is started with")
	f.StringVar(&o.name, "name", "", "name of the new token")
	f.StringVar(&o.role, "role", "", "admin, gateway, billing or viewer")
	f.StringVar(&o.account, "account", "", "account that the token is bound to; without, it sees all")
	f.StringVar(
		&o.expiresIn,
		"expires-in",
		"",
		"ISO 8601 period after which it expires, such as P90D; without, it does not",
	)
	f.StringVar(
		&o.out,
		"out",
		"",
		"new file to write the secret to, readable for its owner only, instead of standard output",
	)
	return cmd
}

// createTokenOffline makes a token in a directory that no daemon has open. The file is written first, as that of the
// first token is.
func createTokenOffline(o *tokenOptions, stdout io.Writer) (err error) {
	var expiresIn calendar.Period
	if o.expiresIn != "" {
		if expiresIn, err = calendar.ParsePeriod(o.expiresIn); err != nil {
			return fmt.Errorf("--expires-in %q: %w", o.expiresIn, err)
		}
	}
	engine, closeAll, err := openStopped(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	if engine.Catalogue().Seq == 0 {
		return fmt.Errorf("the daemon never became ready in %s: start it, and it makes the first token itself", o.data)
	}
	secret := access.NewSecret()
	token := access.Token{
		Name: o.name, Role: access.Role(o.role), Account: o.account, Hash: sha256.Sum256([]byte(secret)),
	}
	if o.out != "" {
		if err := writeSecret(o.out, secret, os.O_EXCL); err != nil {
			return fmt.Errorf("--out: %w; it must be a new file", err)
		}
	}
	err = engine.Administer(offlineName, nil,
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			if expiresIn != (calendar.Period{}) {
				token.ExpiresAtMs = by.After(expiresIn)
			}
			return c.CreateToken(by, token)
		})
	switch {
	case err != nil && o.out != "":
		return errors.Join(fmt.Errorf("create the token: %w", err), os.Remove(o.out))
	case err != nil:
		return fmt.Errorf("create the token: %w", err)
	case o.out != "":
		return nil
	}
	if _, err := fmt.Fprintln(stdout, secret); err != nil {
		return fmt.Errorf("token %s was created, but its secret could not be printed: delete it and create another one: %w",
			o.name, err)
	}
	return nil
}

// openStopped takes the data directory as a daemon does, recovers its state, and closes it as a daemon that stops.
func openStopped(o *tokenOptions) (*shard.Engine, func() error, error) {
	if _, err := os.Stat(filepath.Join(o.data, "VERSION")); err != nil {
		// It is the last file of a first start; OpenDir would begin one.
		return nil, nil, fmt.Errorf("--data %s: no daemon was ever started there, and `meterd serve` makes the first "+
			"token itself: %w", o.data, err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	dir, err := disk.OpenDir(disk.DirOptions{Path: o.data, Region: o.region, Logger: logger})
	if err != nil {
		return nil, nil, fmt.Errorf("only a stopped daemon's directory can be changed from here; a running one makes "+
			"tokens with POST /v1/tokens: %w", err)
	}
	serve := &serveOptions{ // Nothing is let go of before it is closed.
		region: o.region, retention: logRetentionDefault, logPayload: logPayloadFull,
	}
	state, err := openState(serve, dir, stateOptions{failed: func(error) {}}, logger)
	if err != nil {
		return nil, nil, errors.Join(err, dir.Close())
	}
	return state.engine, func() error { return errors.Join(state.close(), dir.Close()) }, nil
}
