package main_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve runs `meterd serve` with exactly these flags and environment.
func serve(t *testing.T, env []string, flags ...string) *run {
	t.Helper()
	r, err := launch(env, append([]string{"serve"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // It may have ended.
		<-r.exited
	})
	return r
}

// TestBadFlags: every fault is told, with the flag's name, and no data directory is made.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flags string
		says  []string
	}{
		{"--nonsense", []string{"--nonsense"}},
		{"surplus", []string{"surplus"}},
		{"--listen nowhere", []string{"--listen"}},
		{"--listen 0.0.0.0:0", []string{"--listen", "loopback", "--tls-cert", "--insecure"}},
		{"--listen :0", []string{"--listen", "loopback"}},
		{"--listen [::]:0", []string{"--listen", "loopback"}},
		{"--listen 192.0.2.1:80", []string{"--listen", "loopback"}},
		{"--time-zone Mars/Olympus", []string{"--time-zone", "Mars/Olympus"}},
		{"--time-zone +25:00", []string{"--time-zone"}},
		{"--log-retention week", []string{"--log-retention"}},
		{"--log-retention 10ms", []string{"--log-retention", "at least"}},
		{"--log-retention -1h", []string{"--log-retention"}},
		{"--log-max-bytes 1000", []string{"--log-max-bytes", "1048576"}},
		{"--log-max-bytes 9223372036854775808", []string{"--log-max-bytes"}},
		{"--erase-within 10ms", []string{"--erase-within", "at least"}},
		{"--erase-within 59s", []string{"--erase-within", "1m0s", "--checkpoint-every"}},
		{"--log-payload some", []string{"--log-payload", "full, none"}},
		{"--log-payload=", []string{"--log-payload", "full, none"}},
		{"--log-payload -1", []string{"--log-payload", "full, none"}},
		{"--log-payload 262145", []string{"--log-payload", "262144"}},
		{"--checkpoint-every 0s", []string{"--checkpoint-every"}},
		{"--drain -1s", []string{"--drain"}},
		{"--move-in", []string{"--move-in belong to --cluster"}},
		{"--disk-stop-bytes -1", []string{"--disk-stop-bytes"}},
		{"--tls-cert c.pem", []string{"--tls-key"}},
		{"--tls-key k.pem", []string{"--tls-cert"}},
		{"--tls-client-ca ca.pem", []string{"--tls-client-ca", "--tls-cert"}},
		{"--tls-cert /nowhere/c.pem --tls-key /nowhere/k.pem", []string{"/nowhere/c.pem"}},
		{
			"--listen 0.0.0.0:0 --time-zone x --drain -1s --log-retention 0s", []string{
				"--listen", "--time-zone", "--drain", "--log-retention",
			},
		},
	} {
		t.Run(c.flags, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			r := serve(t, nil, append([]string{"--data", data}, strings.Fields(c.flags)...)...)
			want(t, r.refused(t), c.says...)
			if _, err := os.Stat(filepath.Join(data, "VERSION")); err == nil && !strings.Contains(c.flags, "/nowhere/") {
				t.Error("a data directory was made")
			}
		})
	}
}

// TestEnvironment: METERD_<FLAG> stands for a flag, and a flag beats it.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := daemonAt(t, filepath.Join(dir, "flag"), "--region", "eu-1")
	d.env = []string{
		"METERD_DATA=" + filepath.Join(dir, "environment"), "METERD_LISTEN=192.0.2.1:1", "METERD_REGION=us-1",
		"METERD_LOG_RETENTION=48h", "METERD_TIME_ZONE=+05:45", "METERD_CHECKPOINT_EVERY=5m", "METERD_SOMETHING_ELSE=x",
	}
	d.start()
	var account accountView
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, &account)
	if account.Region != "eu-1" {
		t.Errorf("the flag says eu-1, the account is of %s", account.Region)
	}
	d.must("POST", "/v1/products", `{"product":"p1","account":"acme"}`, nil)
	if p := d.product("p1"); p.TimeZone != "+05:45" || p.Plan.LogDays == nil || *p.Plan.LogDays != 2 {
		t.Errorf("the environment says +05:45 and two days, the product %q and %v", p.TimeZone, p.Plan.LogDays)
	}
	if _, err := os.Stat(filepath.Join(dir, "environment")); err == nil {
		t.Error("the environment's data directory was made although a flag names another")
	}
	r := serve(t, []string{"METERD_DRAIN=soon", "METERD_CHECKPOINT_EVERY=x"}, "--data", filepath.Join(dir, "bad"))
	want(t, r.refused(t), "METERD_DRAIN", "METERD_CHECKPOINT_EVERY")
}

// TestTakenAddress: a port that somebody has is an error that names it, not a daemon that nobody reaches.
func TestTakenAddress(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := serve(t, nil, "--data", filepath.Join(t.TempDir(), "data"), "--listen", ln.Addr().String())
	want(t, r.refused(t), ln.Addr().String(), "in use")
}

// TestFirstStart: the token's file is its owner's alone, the log says where it lies, and the second start keeps it.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	path := filepath.Join(d.data, "admin.token")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v", info.Mode())
	}
	want(t, d.run.said(), path)
	if strings.Contains(d.run.said()+d.run.stdout.String(), d.token) {
		t.Error("the token itself was logged")
	}
	first := d.token
	d.restart()
	if err := d.readToken(); err != nil || d.token != first {
		t.Errorf("the second start changed the token: %v", err)
	}
	d.must("GET", "/v1/accounts", "", nil)
}
