package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/meterd/meterd/client"
)

// options are the flags.
type options struct {
	listen        string
	insecure      bool
	meterdURL     string
	token         string
	tokenFile     string
	producer      string
	transport     string
	identity      string
	onUnavailable string
	askTimeout    time.Duration // 0 stands for the policy's
	spool         client.Spool
	metricsListen string
}

func (o *options) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.listen, "listen", "127.0.0.1:1883", "`address` for MQTT over TCP")
	fs.BoolVar(
		&o.insecure,
		"insecure",
		false,
		"allow --listen on an address that is not loopback, although passwords are not checked and nothing is encrypted",
	)
	fs.StringVar(&o.meterdURL, "meterd-url", "http://127.0.0.1:8480",
		"`URL` of meterd, or those of several nodes with commas between: the next one is asked when one fails")
	fs.StringVar(&o.token, "token", "", "bearer `token` for meterd; better given as METERD_GATEWAY_TOKEN or --token-file")
	fs.StringVar(&o.tokenFile, "token-file", "", "`file` that holds the token")
	fs.StringVar(
		&o.producer,
		"producer",
		"mqtt-gateway",
		"this gateway's `name` for meterd, its own among all gateways: the holder of its devices, and what makes retries "+
			"exact",
	)
	fs.StringVar(
		&o.transport,
		"transport",
		"stream",
		"how meterd is asked: `stream` has one WebSocket, http a request a batch, for proxies that let no WebSocket pass",
	)
	fs.StringVar(&o.identity, "identity", identityClientID,
		"what names a device: `client-id` (username = product, client id = device) or username (\"product/device\")")
	fs.StringVar(
		&o.onUnavailable,
		"on-unavailable",
		"closed",
		"what to do when meterd cannot be asked: `closed` refuses, open lets pass and reports later, last-known does what "+
			"meterd last said about the device and refuses the others",
	)
	fs.StringVar(
		&o.spool.Dir,
		"spool",
		"",
		"`directory` of this gateway's own that keeps what passed while meterd could not be asked, so that it is counted "+
			"once even if the gateway is killed; empty keeps it in memory",
	)
	fs.Int64Var(
		&o.spool.BytesMax,
		"spool-bytes",
		spoolBytes,
		"how many `bytes` --spool may take; beyond it nothing passes while meterd cannot be asked",
	)
	fs.DurationVar(
		&o.askTimeout,
		"ask-timeout",
		0,
		fmt.Sprintf(
			"how long a device waits for meterd before the policy applies; longer than a restart of meterd, a restart goes "+
				"unnoticed (default %v closed, %v with several nodes, %v open and last-known)",
			askTimeoutClosed,
			askTimeoutNodes,
			askTimeoutOpen,
		),
	)
	fs.StringVar(
		&o.metricsListen,
		"metrics-listen",
		"127.0.0.1:9480",
		"loopback `address` of GET /metrics; empty for none",
	)
}

// fromEnvironment sets every flag that was not given from METERD_GATEWAY_<FLAG>.
func fromEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var faults []error
	fs.VisitAll(func(f *pflag.Flag) {
		name := "METERD_GATEWAY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || f.Changed {
			return
		}
		if err := fs.Set(f.Name, value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	})
	return errors.Join(faults...)
}

// resolve reads the token file and reports every fault at once.
func (o *options) resolve() error {
	var faults []error
	if o.tokenFile != "" && o.token != "" {
		faults = append(faults, errors.New("--token and --token-file exclude each other"))
	} else if o.tokenFile != "" {
		token, err := os.ReadFile(o.tokenFile)
		if err != nil {
			faults = append(faults, fmt.Errorf("--token-file: %w; meterd writes one to DIR/admin.token at its first start", err))
		}
		o.token = strings.TrimSpace(string(token))
	}
	if o.identity != identityClientID && o.identity != identityUsername {
		faults = append(faults, fmt.Errorf("--identity %q: must be %s or %s", o.identity, identityClientID, identityUsername))
	}
	if _, isKnown := policyOf(o.onUnavailable); !isKnown {
		faults = append(faults, fmt.Errorf("--on-unavailable %q: must be closed, open or last-known", o.onUnavailable))
	}
	if o.spool.Dir != "" && o.spool.BytesMax < spoolBytesMin {
		faults = append(faults, fmt.Errorf("--spool-bytes %d: must be at least %d", o.spool.BytesMax, spoolBytesMin))
	}
	if o.transport != "stream" && o.transport != "http" {
		faults = append(faults, fmt.Errorf("--transport %q: must be stream or http", o.transport))
	}
	if o.askTimeout < 0 || o.askTimeout > askTimeoutMax {
		faults = append(faults, fmt.Errorf("--ask-timeout %v: must be 0 to %v", o.askTimeout, askTimeoutMax))
	}
	if err := loopback(o.listen); err != nil && !o.insecure {
		faults = append(faults, fmt.Errorf("--listen: %w; --insecure allows it", err))
	}
	if o.metricsListen != "" {
		if err := loopback(o.metricsListen); err != nil {
			faults = append(faults, fmt.Errorf("--metrics-listen: %w", err))
		}
	}
	if err := o.clientOptions().Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// clientOptions returns how meterd is asked.
func (o *options) clientOptions() client.Options {
	opts := client.Options{
		URL: o.meterdURL, Token: o.token, Producer: o.producer, Timeout: askTimeoutClosed, Spool: o.spool,
	}
	if o.transport == "http" {
		opts.Transport = client.OverHTTP
	}
	if strings.Contains(o.meterdURL, ",") {
		opts.Timeout = askTimeoutNodes
	}
	if opts.OnUnavailable, _ = policyOf(o.onUnavailable); opts.OnUnavailable != client.FailClosed {
		opts.Timeout = askTimeoutOpen
	}
	if o.askTimeout > 0 {
		opts.Timeout = o.askTimeout
	}
	return opts
}

// policyOf returns what --on-unavailable stands for.
func policyOf(name string) (p client.Policy, isKnown bool) {
	switch name {
	case "closed":
		return client.FailClosed, true
	case "open":
		return client.FailOpen, true
	case "last-known":
		return client.LastKnown, true
	}
	return client.FailClosed, false
}

// loopback returns an error when address is reachable from elsewhere.
func loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%q is not a loopback address", address)
}
