package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/bench/testport"
)

// operatedServer starts a server of NATS as an operator would.
func operatedServer(t *testing.T, dir string, port, monitor int, syncs bool) *server.Server {
	t.Helper()
	ns, err := server.NewServer(&server.Options{
		ServerName: "op-1", Host: "127.0.0.1", Port: port, HTTPHost: "127.0.0.1", HTTPPort: monitor, JetStream: true,
		StoreDir: dir, SyncAlways: syncs, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the server of NATS does not start")
	}
	return ns
}

func portOf(t *testing.T, address string) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}

// TestOperatedServers: a node on a server of NATS that somebody else runs. It waits for one that syncs; takes no events
// while it does not; and goes on behind its own copy when the stream was deleted, with all that was counted.
func TestOperatedServers(t *testing.T) {
	if testing.Short() {
		t.Skip("servers are looked at every ten seconds")
	}
	t.Parallel()
	store := t.TempDir()
	port, monitor := portOf(t, testport.Free(t)), portOf(t, testport.Free(t))
	ns := operatedServer(t, store, port, monitor, false)
	restart := func(syncs bool) {
		ns.Shutdown()
		ns.WaitForShutdown()
		ns = operatedServer(t, store, port, monitor, syncs)
	}
	url := ns.ClientURL()
	d := daemonAt(t, t.TempDir()+"/data", "--cluster", "op", "--node", "n1", "--replicas", "1", "--nats-url", url,
		"--nats-monitor", "http://"+ns.MonitorAddr().String())
	d.launch()
	const sentence = `server \"op-1\" acknowledges before its disk has the data: set jetstream { sync_interval: always }`
	await(t, "the server is refused", func() bool { return strings.Contains(d.run.said(), sentence) })
	restart(true)
	if err := d.awaitReady(); err != nil {
		t.Fatal(err)
	}
	await(t, "the token", func() bool { return d.readToken() == nil && d.ask("GET", "/readyz", "").status == 200 })
	// Where a slow machine lets the server be late, the owner gives up, without an answer to what is in hand, and owns the
	// cell again.
	must := func(method, path, body string, v any) {
		t.Helper()
		var a answer
		isRepeated := false
		await(t, path+" is answered", func() bool {
			var err error
			if a, err = d.try(method, path, []byte(body)); err != nil {
				isRepeated = true
			}
			return err == nil && a.status != 503
		})
		if isRepeated && a.status == 409 {
			return // It was made, and that was not answered.
		}
		if a.into(t, v); a.status/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
	}
	counts := func() uint64 {
		t.Helper()
		var v deviceView
		must("GET", "/v1/products/p1/devices/d1", "", &v)
		return v.Messages.Up
	}
	must("POST", "/v1/accounts", `{"account":"acme","kind":"enterprise"}`, nil)
	must("POST", "/v1/products", `{"account":"acme","product":"p1"}`, nil)
	const message = `{"type":"up","product":"p1","device":"d1","size":1}`
	up := func() (a answer) {
		a, _ = d.try("POST", "/v1/events", []byte(message)) // Without an answer it has no status.
		return a
	}
	must("POST", "/v1/events", `{"type":"connect","product":"p1","device":"d1"}`, nil)
	must("POST", "/v1/events", message, nil)
	restart(false)
	await(t, "events are refused", func() bool {
		a := up()
		return a.status == 503 && strings.Contains(string(a.body), "the cluster cannot store events")
	})
	restart(true)
	await(t, "events are taken", func() bool { return up().status == 200 })
	counted := counts()

	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "M_op_0"); err != nil {
		t.Fatal(err)
	}
	d.kill()
	d.launch()
	if err := d.awaitReady(); err != nil {
		t.Fatal(err)
	}
	shows := func(what string) func() bool {
		return func() bool { return strings.Contains(string(d.ask("GET", "/v1/cluster", "").body), what) }
	}
	await(t, "the cell is damaged", shows("the stream is gone"))
	if a := up(); a.status != 503 {
		t.Fatal(a.status, string(a.body))
	}
	want(t, d.ctl("cluster", "repair", "0"), "cell 0 has a new stream")
	await(t, "the cell is owned", shows(`"state":"owned"`))
	await(t, "its owner answers", func() bool { return d.ask("GET", "/readyz", "").status == 200 })
	if now := counts(); now != counted || counted < 2 {
		t.Fatalf("%d were counted, %d are there", counted, now)
	}
	must("POST", "/v1/events", message, nil)
	d.ctlRefused("cluster_refused", "cluster", "repair", "0")
	d.ctlRefused("cluster_refused", "cluster", "move", "0", "n9")
	d.stop()
}
