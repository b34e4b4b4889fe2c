package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func parse(t *testing.T, env map[string]string, args ...string) (*options, error) {
	t.Helper()
	var o options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	if err := fromEnvironment(fs, lookup); err != nil {
		return nil, err
	}
	return &o, o.resolve()
}

func TestOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parse(t, map[string]string{
		"METERD_GATEWAY_TOKEN_FILE": file, "METERD_GATEWAY_PRODUCER": "from-env", "METERD_GATEWAY_ON_UNAVAILABLE": "open",
	}, "--producer", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	if o.token != "s3cret" || o.producer != "from-flag" || o.onUnavailable != "open" || o.listen != "127.0.0.1:1883" {
		t.Errorf("%+v", o)
	}
	for want, args := range map[time.Duration][]string{
		askTimeoutClosed: {}, askTimeoutOpen: {"--on-unavailable", "last-known"}, time.Second: {
			"--on-unavailable", "open", "--ask-timeout", "1s",
		}, askTimeoutNodes: {"--meterd-url", "http://a:1,http://b:1"},
	} {
		if o, err := parse(t, nil, args...); err != nil || o.clientOptions().Timeout != want {
			t.Errorf("%v: %+v, %v, want a device to wait %v", args, o, err, want)
		}
	}
	for want, args := range map[string][]string{
		"not a loopback":   {"--listen", "0.0.0.0:1883"},
		"--metrics-listen": {"--metrics-listen", "10.0.0.1:9480", "--insecure"},
		"--identity":       {"--identity", "password"},
		"--on-unavailable": {"--on-unavailable", "maybe"},
		"--ask-timeout":    {"--ask-timeout", "11m"},
		"--transport":      {"--transport", "pigeon"},
		"--spool-bytes":    {"--spool", "x", "--spool-bytes", "1000"},
		"exclude":          {"--token", "a", "--token-file", file},
		"admin.token":      {"--token-file", file + ".missing"},
		"producer":         {"--producer", "a b"},
		"URL":              {"--meterd-url", "8480"},
	} {
		if _, err := parse(t, nil, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want it to name %q", args, err, want)
		}
	}
	if _, err := parse(t, nil, "--listen", "0.0.0.0:1883", "--insecure"); err != nil {
		t.Errorf("--insecure: %v", err)
	}
	if _, err := parse(
		t,
		map[string]string{"METERD_GATEWAY_INSECURE": "perhaps"},
	); err == nil ||
		!strings.Contains(err.Error(), "METERD_GATEWAY_INSECURE") {
		t.Errorf("a bad environment: %v", err)
	}
}
