package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

var snapshotColumns = []column{
	{"SNAPSHOT", "id"},
	{"PERIOD", "period"},
	{"FINAL", "final"},
	{"ACCOUNT", "account"},
	{"AS OF", "as_of"},
	{"ROWS", "rows"},
	{"CORRECTS", "corrects"},
	{"MADE BY", "made_by"},
	{"SHA256", "sha256"},
}

func (c *ctl) snapshotsCommand() *cobra.Command {
	cmd := group("snapshots", "Sealed usage snapshots: what devices and products used in a month")
	cmd.AddCommand(
		c.listSnapshotsVerb(),
		c.createSnapshotVerb(),
		c.verb("get SNAPSHOT", "Show a snapshot and its files", func(cmd *cobra.Command, args []string) error {
			return c.record(cmd, http.MethodGet, client.Path("v1", "snapshots", args[0]), nil, nil)
		}),
		c.downloadSnapshotVerb(),
	)
	return cmd
}

func (c *ctl) listSnapshotsVerb() *cobra.Command {
	var account, period string
	cmd := c.listVerb("List the snapshots, newest first", func() list {
		query := url.Values{}
		for name, value := range map[string]string{"account": account, "period": period} {
			if value != "" {
				query.Set(name, value)
			}
		}
		return list{path: client.Path("v1", "snapshots"), member: "snapshots", query: query, columns: snapshotColumns}
	})
	cmd.Flags().StringVar(&account, "account", "", "those of this account alone")
	cmd.Flags().StringVar(&period, "period", "", "those of this month alone, such as 2026-11")
	c.offers(cmd, "account", "ACCOUNT")
	return cmd
}

func (c *ctl) createSnapshotVerb() *cobra.Command {
	var account, period, corrects string
	cmd := c.verb("create", "Make a snapshot as of now, and wait for it", func(cmd *cobra.Command, _ []string) error {
		// An empty --account, from a variable that is not set, must not make a snapshot of all accounts.
		if err := namesGiven(cmd, "account", "period", "corrects"); err != nil {
			return err
		}
		body := map[string]any{}
		for name, value := range map[string]string{"account": account, "period": period, "corrects": corrects} {
			if value != "" {
				body[name] = value
			}
		}
		if !c.flags.Changed("timeout") {
			c.timeout = createSnapshotTimeout
		}
		return c.record(cmd, http.MethodPost, client.Path("v1", "snapshots"), nil, body)
	})
	cmd.Flags().StringVar(&account, "account", "", "of this account (default: of all that the token sees)")
	cmd.Flags().StringVar(&period, "period", "", "month such as 2026-11 (default: the running one)")
	cmd.Flags().StringVar(&corrects, "corrects", "", "snapshot whose place it takes, of the same account and month")
	c.offers(cmd, "account", "ACCOUNT")
	return cmd
}

func (c *ctl) downloadSnapshotVerb() *cobra.Command {
	var to, columns string
	var names []string
	cmd := c.verb(
		"download SNAPSHOT",
		"Write a snapshot's files to a directory, each proved by its checksum",
		func(cmd *cobra.Command, args []string) error {
			return c.download(cmd, args[0], filepath.Join(to, args[0]), columns, names)
		},
	)
	cmd.Flags().StringVar(&to, "to", ".", "where to make the directory SNAPSHOT")
	cmd.Flags().StringVar(&columns, "columns", "", "focus: the column names of FOCUS (CSV and NDJSON)")
	cmd.Flags().
		StringSliceVar(&names, "file", nil, "devices.csv, devices.ndjson, devices.parquet, products.csv (default: all)")
	choices(cmd, "columns", "focus")
	return cmd
}

// snapshotFile is what a download needs to know of a file.
type snapshotFile struct {
	Name   string
	Bytes  int64
	SHA256 string
}

// download writes files of a snapshot to a directory.
func (c *ctl) download(cmd *cobra.Command, id, dir, columns string, names []string) error {
	answer, err := c.call(cmd, http.MethodGet, client.Path("v1", "snapshots", id), nil, nil)
	if err != nil {
		return err
	}
	var m struct {
		SHA256 string
		Files  []snapshotFile
	}
	if err := json.Unmarshal(answer, &m); err != nil {
		return fmt.Errorf("the answer is no snapshot: %w", err)
	}
	if columns == "" {
		m.Files = append(m.Files, snapshotFile{Name: "SHA256SUMS", SHA256: m.SHA256})
	}
	files := slices.DeleteFunc(slices.Clone(m.Files), func(f snapshotFile) bool {
		if columns != "" && strings.HasSuffix(f.Name, ".parquet") && len(names) == 0 {
			return true // It has one set of names.
		}
		return len(names) > 0 && !slices.Contains(names, f.Name)
	})
	if len(files) < len(names) {
		return usageError{fmt.Errorf("--file %s: the snapshot has no such file", strings.Join(names, ","))}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the directory for the files: %w", err)
	}
	for _, f := range files {
		if err := c.downloadFile(cmd, id, dir, columns, f); err != nil {
			return err
		}
	}
	return nil
}

// downloadFile writes one file under a name of its own until it is proved.
func (c *ctl) downloadFile(cmd *cobra.Command, id, dir, columns string, f snapshotFile) (err error) {
	if f.Name != filepath.Base(f.Name) || strings.HasPrefix(f.Name, ".") {
		return fmt.Errorf("the snapshot names a file %q", f.Name)
	}
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	query := url.Values{}
	if columns != "" {
		query.Set("columns", columns)
	}
	path := filepath.Join(dir, f.Name)
	out, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("create a file: %w", err)
	}
	hash := sha256.New()
	n, err := admin.Download(cmd.Context(), client.Path("v1", "snapshots", id, f.Name), query, io.MultiWriter(out, hash))
	if err != nil {
		return errors.Join(c.explain(err), out.Close())
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if columns == "" && sum != f.SHA256 {
		return fmt.Errorf("%s has the checksum %s, and not %s as the snapshot says: it was changed after it was sealed; "+
			"what came is in %s.part", f.Name, sum, f.SHA256, path)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("give a file its name: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %d bytes  sha256 %s\n", path, n, sum)
	return err
}
