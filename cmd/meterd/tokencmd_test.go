package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tokenCreate runs `meterd token create` and returns what it printed.
func tokenCreate(t testing.TB, args ...string) string {
	t.Helper()
	r := runTokenCreate(t, args...)
	select {
	case <-r.exited:
	case <-time.After(patience):
		_ = r.cmd.Process.Kill()
		<-r.exited
		t.Fatalf("token create did not end within %s:\n%s", patience, r.said())
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 || r.said() != "" {
		t.Fatalf("token create %q ended with %d:\n%s", args, code, r.said())
	}
	return r.stdout.String()
}

// tokenRefused runs `meterd token create`, which must fail, and returns what it said.
func tokenRefused(t testing.TB, args ...string) string {
	t.Helper()
	r := runTokenCreate(t, args...)
	said := r.refused(t)
	if r.stdout.String() != "" {
		t.Errorf("it printed %q", r.stdout.String())
	}
	return said
}

func runTokenCreate(t testing.TB, args ...string) *run {
	t.Helper()
	r, err := launch(nil, append([]string{"token", "create"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every administrator's token is lost: a token that is made on the stopped directory opens the daemon again, and the
// audit log tells how it came to be.
func TestTokenOnAStoppedDirectory(t *testing.T) {
	d := newDaemon(t)
	d.withProduct("p", `{}`)
	d.batch(line("connect", "p", "d1"))
	said := tokenRefused(t, "--data", d.data, "--name", "rescue", "--role", "admin")
	want(t, said, "in use by process "+fmt.Sprint(d.run.cmd.Process.Pid), "stop that daemon", "POST /v1/tokens")
	d.stop()

	secret := strings.TrimSuffix(
		tokenCreate(t, "--data", d.data, "--name", "rescue", "--role", "admin", "--expires-in", "P1D"),
		"\n",
	)
	if !strings.HasPrefix(secret, "mtd_") || strings.ContainsAny(secret, " \n") {
		t.Fatalf("it printed %q", secret)
	}
	out := filepath.Join(t.TempDir(), "gw.token")
	if printed := tokenCreate(
		t,
		"--data",
		d.data,
		"--name",
		"gw",
		"--role",
		"gateway",
		"--account",
		"p",
		"--out",
		out,
	); printed != "" {
		t.Errorf("it printed %q although the secret went to a file", printed)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	gateway, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want(
		t,
		tokenRefused(t, "--data", d.data, "--name", "rescue", "--role", "admin"),
		"already_exists",
		"token rescue exists",
	)
	want(
		t,
		tokenRefused(t, "--data", d.data, "--name", "gw-2", "--role", "gateway", "--out", out),
		"--out",
		"must be a new file",
	)
	if again, err := os.ReadFile(out); err != nil || string(again) != string(gateway) {
		t.Errorf("a file that was there is now %q, %v", again, err)
	}

	d.start()
	d.token = secret
	if v := d.product("p"); v.Devices.Active != 1 {
		t.Errorf("the product: %+v", v)
	}
	d.checkOfflineTokens()
	if a := d.ask(
		"POST",
		"/v1/events",
		line("up", "p", "d1"),
		"Authorization",
		"Bearer "+strings.TrimSpace(string(gateway)),
	); a.status != 200 {
		t.Errorf("the gateway's token: %d %s", a.status, a.body)
	}
	d.ask("GET", "/v1/tokens", "", "Authorization", "Bearer "+strings.TrimSpace(string(gateway))).
		refuse(t, 403, "forbidden")

	// It is a token like any other: another restart keeps it, and it can be deleted.
	d.restart()
	if a := d.ask("DELETE", "/v1/tokens/gw", ""); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	d.restart()
	d.ask("POST", "/v1/events", line("up", "p", "d1"), "Authorization", "Bearer "+strings.TrimSpace(string(gateway))).
		refuse(t, 401, "unauthorized")
}

// checkOfflineTokens compares what the daemon says about the tokens of TestTokenOnAStoppedDirectory.
func (d *daemon) checkOfflineTokens() {
	d.t.Helper()
	type token struct {
		Name, Role string
		Account    *string
		CreatedAt  time.Time  `json:"created_at"`
		ExpiresAt  *time.Time `json:"expires_at"`
	}
	list := pages[token](d, "/v1/tokens", "tokens")
	if len(list) != 3 || list[0].Name != "admin" || list[1].Name != "gw" || list[2].Name != "rescue" {
		d.t.Fatalf("tokens: %+v", list)
	}
	gw, rescue := list[1], list[2]
	if gw.Role != "gateway" || gw.Account == nil || *gw.Account != "p" || gw.ExpiresAt != nil {
		d.t.Errorf("gw: %+v", gw)
	}
	if rescue.Role != "admin" || rescue.Account != nil || rescue.ExpiresAt == nil ||
		rescue.ExpiresAt.Sub(rescue.CreatedAt) != 24*time.Hour {
		d.t.Errorf("rescue: %+v", rescue)
	}
	var made []string
	for _, e := range pages[struct{ Token, Action, Target string }](d, "/v1/audit", "entries") {
		if e.Token == "offline" {
			made = append(made, e.Action+" "+e.Target)
		}
	}
	if fmt.Sprint(made) != "[token.create gw token.create rescue]" {
		d.t.Errorf("the audit log: %q", made)
	}
}

// What is refused changes nothing: no directory, no file, no token.
func TestTokenRefusals(t *testing.T) {
	d := newDaemon(t, "--region", "eu-1")
	d.stop()
	base := []string{"--data", d.data, "--region", "eu-1", "--name", "new", "--role", "viewer"}
	with := func(args ...string) []string { return append(base[:len(base):len(base)], args...) }
	out := filepath.Join(t.TempDir(), "secret")
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		says []string
	}{
		{with("--data", nowhere, "--out", out), []string{nowhere, "no daemon was ever started there"}},
		{with("--data", empty, "--out", out), []string{empty, "no daemon was ever started there"}},
		{with("--region", "us-1", "--out", out), []string{`belongs to region "eu-1"`, "--region eu-1"}},
		{with("--name", "a b", "--out", out), []string{"name: must be 1 to 64 bytes"}},
		{with("--name", "", "--out", out), []string{"name: must be 1 to 64 bytes"}},
		{with("--role", "root", "--out", out), []string{"role: must be one of admin, gateway, billing, viewer"}},
		{with("--role", "", "--out", out), []string{"role: must be one of"}},
		{with("--account", "nobody", "--out", out), []string{"account: there is none called nobody"}},
		{with("--account", "", "--out", out), []string{"--account is empty"}},
		{with("--expires-in", "90d", "--out", out), []string{`--expires-in "90d"`, "ISO 8601"}},
		{with("--out", filepath.Join(nowhere, "secret")), []string{"--out", nowhere}},
		{with("--out", out, "extra"), []string{"extra"}},
		{with("--color", "red", "--out", out), []string{"--color"}},
	} {
		want(t, tokenRefused(t, c.args...), c.says...)
	}
	for _, path := range []string{out, nowhere} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("an empty directory now has %v, %v", left, err)
	}
	d.start()
	var list struct{ Tokens []struct{ Name string } }
	d.must("GET", "/v1/tokens", "", &list)
	if len(list.Tokens) != 1 {
		t.Errorf("tokens: %+v", list.Tokens)
	}
}
