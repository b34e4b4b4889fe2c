package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/meterd/meterd/cluster/embedded"
)

// operated is a server as an operator would run it.
type operated struct {
	*server.Server
	dir string
}

func start(t *testing.T, change func(*server.Options)) operated {
	t.Helper()
	o := &server.Options{
		ServerName: "op-1", Host: "127.0.0.1", Port: server.RANDOM_PORT, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
	}
	change(o)
	ns, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(time.Minute) {
		t.Fatal("it does not start")
	}
	return operated{ns, t.TempDir()}
}

func (s operated) monitor() string { return "http://" + s.MonitorAddr().String() }

// dial connects, and waits until it is connected.
func dial(t *testing.T, o Options) *Link {
	t.Helper()
	l, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if err := l.Conn().FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	return l
}

// look looks until the servers have answered in time, however slow the machine is.
func look(t *testing.T, w *Watch) error {
	t.Helper()
	for {
		if err := w.Look(t.Context()); !errors.Is(err, context.DeadlineExceeded) || t.Context().Err() != nil {
			return err
		}
	}
}

// What an operator's server does wrong is seen over its monitoring.
func TestOperatorsServerIsExamined(t *testing.T) {
	for want, change := range map[string]func(*server.Options){
		"": func(*server.Options) {},
		`server "op-1" acknowledges before its disk has the data`: func(o *server.Options) { o.SyncAlways = false },
		`server "op-1" takes messages of 256 KiB`:                 func(o *server.Options) { o.MaxPayload = 256 << 10 },
		"0 servers with JetStream are seen, 1 replicas":           func(o *server.Options) { o.JetStream = false },
	} {
		s := start(t, change)
		l := dial(t, Options{URLs: []string{s.ClientURL()}, Monitors: []string{s.monitor()}})
		w := NewWatch(WatchOptions{Ask: l.Ask(), Replicas: 1})
		err := look(t, w)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	s := start(t, func(*server.Options) {})
	w := NewWatch(WatchOptions{
		Ask: Monitors([]string{s.monitor()}), Replicas: 3,
		Peers: func(context.Context) ([]Peer, error) { return []Peer{{Name: "op-1"}, {Name: "op-2"}}, nil },
	})
	if err := look(t, w); !errors.Is(err, ErrUnseen) || !strings.Contains(err.Error(), `server "op-2"`) {
		t.Error(err)
	}
	nobody := NewWatch(WatchOptions{Ask: Monitors([]string{"http://127.0.0.1:1"}), Replicas: 1})
	if err := look(t, nobody); !errors.Is(err, ErrUnseen) {
		t.Error(err)
	}
}

// meterd's own server is what it demands of others.
func TestOwnServerIsExamined(t *testing.T) {
	own, err := embedded.Start(t.Context(), embedded.Options{Node: "n1", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	l := Own(own.Conn(), own.System(), own.Count, own.Close)
	defer l.Close()
	list, err := l.Ask()(t.Context())
	if err != nil || len(list) != 1 || !list[0].JetStream || !list[0].SyncAlways || list[0].Name != own.Name() {
		t.Fatalf("%+v: %v", list, err)
	}
	if err := look(t, NewWatch(WatchOptions{Ask: l.Ask(), Replicas: 1})); err != nil {
		t.Fatal(err)
	}
}

// certificate makes one for 127.0.0.1 that proves itself, and returns the files of it and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
	return cert, key
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// With TLS on both sides, and not without the certificate.
func TestConnectWithTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	s := start(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 10
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS12,
		}
	})
	address := "tls://" + s.Addr().String()
	o := Options{URLs: []string{address}, CA: cert, Cert: cert, Key: key, Monitors: []string{s.monitor()}}
	l := dial(t, o)
	if _, err := l.Conn().TLSConnectionState(); err != nil {
		t.Fatal(err)
	}
	o.CA = ""
	stranger, err := Connect(o)
	if err == nil {
		defer stranger.Close()
		err = stranger.Conn().FlushTimeout(time.Second)
	}
	if err == nil {
		t.Fatal("a server is trusted whose certificate nobody proves")
	}
}

// credentials makes a user of an account, and returns the file of them.
func credentials(t *testing.T, dir, name string, account nkeys.KeyPair) string {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	token, err := jwt.NewUserClaims(public).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	content, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	write(t, path, content)
	return path
}

// A server with accounts: credentials of one for streams, and of the system account to see what servers are.
func TestConnectWithCredentials(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	system, _ := nkeys.CreateAccount()
	account, _ := nkeys.CreateAccount()
	public := func(k nkeys.KeyPair) string { p, _ := k.PublicKey(); return p }
	root := jwt.NewOperatorClaims(public(operator))
	root.SystemAccount = public(system)
	signed, err := root.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = jwt.DecodeOperatorClaims(signed); err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	for _, k := range []nkeys.KeyPair{system, account} {
		claims := jwt.NewAccountClaims(public(k))
		if k == account {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1}
		}
		text, err := claims.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolver.Store(public(k), text); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, func(o *server.Options) {
		o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{root}, resolver, public(system)
	})
	o := Options{
		URLs: []string{s.ClientURL()}, Creds: credentials(t, s.dir, "a.creds", account),
		SystemCreds: credentials(t, s.dir, "s.creds", system),
	}
	l := dial(t, o)
	if err := look(t, NewWatch(WatchOptions{Ask: l.Ask(), Replicas: 1})); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(l.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.SystemCreds = o.Creds
	wrong := dial(t, o)
	err = NewWatch(WatchOptions{Ask: wrong.Ask(), Replicas: 1}).Look(t.Context())
	if !errors.Is(err, ErrUnseen) || !strings.Contains(fmt.Sprint(err), "system account") {
		t.Fatal(err)
	}
}
