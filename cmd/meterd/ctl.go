package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meterd/meterd/client"
)

// ctl is what the commands of `meterd ctl` share: where meterd is, its token, and how answers are shown. It speaks to
// the HTTP API and to nothing else.
type ctl struct {
	flags *pflag.FlagSet // the ones below, whichever command they were given to

	url, tokenFile                string
	output                        string
	timeout                       time.Duration
	caCert, clientCert, clientKey string

	token string // once resolved
}

// What --output may be.
const (
	asTable = "table"
	asJSON  = "json"
	asLines = "ndjson"
)

func ctlCommand() *cobra.Command {
	c := &ctl{}
	cmd := group("ctl", "Administer a running daemon")
	cmd.Long = `Administer a running daemon over its HTTP API.

The token comes from METERD_TOKEN or --token-file. Flags that all commands share can also be given as METERD_<FLAG>,
METERD_URL for example; a flag beats the environment.

Answers are tables for people; -o json prints what the API answered, a list whole, and -o ndjson an element a line. A
list is followed to its end unless --limit says otherwise. Exit code: 0 done, 1 refused or failed, 2 wrong usage.`
	cmd.Example = `  export METERD_TOKEN=$(cat data/admin.token)
  meterd ctl accounts create acme --kind enterprise
  meterd ctl products create p1 --account acme --time-zone Asia/Shanghai --messages-per-day 1500
  meterd ctl lots credit p1 --order PO-1 --quantity 1000
  meterd ctl licenses list --product p1 --expiring-before +30d
  meterd ctl logs p1 d1 --from -2h -o ndjson
  meterd ctl usage --account acme --window month --time-zone Asia/Shanghai`
	c.flags = cmd.PersistentFlags()
	c.connectionFlags()
	c.flags.StringVarP(&c.output, "output", "o", asTable, "how to show answers: table, json or ndjson")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return c.resolve() }
	choices(cmd, "output", asTable, asJSON, asLines)
	cmd.AddCommand(
		c.accountsCommand(), c.productsCommand(), c.lotsCommand(), c.topupsCommand(), c.licensesCommand(), c.devicesCommand(),
		c.logsCommand(), c.usageCommand(), c.snapshotsCommand(), c.webhooksCommand(), c.tokensCommand(), c.auditCommand(),
		c.producersCommand(), c.diskCommand(), c.clusterCommand(), c.clockCommand(), c.signInCommand(),
	)
	return cmd
}

// connectionFlags says where the daemon is and how it is asked.
func (c *ctl) connectionFlags() {
	c.flags.StringVar(
		&c.url,
		"url",
		"http://127.0.0.1:8480",
		"where the daemon listens; of several nodes: with commas between",
	)
	c.flags.StringVar(&c.tokenFile, "token-file", "", "file with the token; beats METERD_TOKEN")
	c.flags.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for one answer")
	c.flags.StringVar(&c.caCert, "ca-cert", "", "certificates that sign the daemon's, if the system does not know them")
	c.flags.StringVar(&c.clientCert, "client-cert", "", "certificate to show to the daemon (mutual TLS)")
	c.flags.StringVar(&c.clientKey, "client-key", "", "its key")
}

// resolve fills up the flags from the environment and reads the token. Its errors are of the command line's kind, all
// at once.
func (c *ctl) resolve() error {
	tokenFileGiven := c.flags.Changed("token-file")
	errs := []error{fromEnvironment(c.flags)}
	token, tokenGiven := os.LookupEnv("METERD_TOKEN")
	switch {
	case c.tokenFile != "" && (tokenFileGiven || !tokenGiven):
		secret, err := os.ReadFile(c.tokenFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("--token-file: %w; the daemon writes DIR/admin.token at its first start", err))
		}
		c.token = strings.TrimSpace(string(secret))
	case token != "":
		c.token = strings.TrimSpace(token)
	default:
		errs = append(errs, errors.New("there is no token: set METERD_TOKEN, or give --token-file DIR/admin.token"))
	}
	if c.output != asTable && c.output != asJSON && c.output != asLines {
		errs = append(errs, fmt.Errorf("--output %q: must be table, json or ndjson", c.output))
	}
	if c.timeout <= 0 {
		errs = append(errs, fmt.Errorf("--timeout %s: must be positive", c.timeout))
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// admin returns what makes the calls. It must be closed.
func (c *ctl) admin() (*client.Admin, error) {
	trust, err := c.tlsConfig()
	if err != nil {
		return nil, usageError{err}
	}
	a, err := client.NewAdmin(client.AdminOptions{URL: c.url, Token: c.token, Timeout: c.timeout, TLS: trust})
	if err != nil {
		return nil, usageError{err}
	}
	return a, nil
}

// tlsConfig returns whom to trust and what to show, nil for what the system has.
func (c *ctl) tlsConfig() (*tls.Config, error) {
	if c.caCert == "" && c.clientCert == "" && c.clientKey == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.caCert != "" {
		pem, err := os.ReadFile(c.caCert)
		if err != nil {
			return nil, fmt.Errorf("--ca-cert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-cert %s: there is no certificate in it", c.caCert)
		}
	}
	if (c.clientCert == "") != (c.clientKey == "") {
		return nil, errors.New("--client-cert and --client-key belong together")
	}
	if c.clientCert != "" {
		pair, err := tls.LoadX509KeyPair(c.clientCert, c.clientKey)
		if err != nil {
			return nil, fmt.Errorf("--client-cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
