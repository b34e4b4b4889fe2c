package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	next int64
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, pool: x509.NewCertPool(), next: 1}
	a.key = newKey(t)
	der := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key)
	a.pool.AddCert(a.cert)
	a.write(name+".pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign completes and signs a template; the first one signs itself.
func (a *authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	c.SerialNumber = big.NewInt(a.next)
	a.next++
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
	return der
}

// issue writes NAME.pem and NAME.key, valid for 127.0.0.1 and for clients, and returns the certificate's serial number.
func (a *authority) issue(name string) int64 {
	a.t.Helper()
	key := newKey(a.t)
	serial := a.next
	der := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", "PRIVATE KEY", private)
	a.write(name+".pem", "CERTIFICATE", der)
	return serial
}

// write replaces a file whole, as those who renew certificates do.
func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// speakTLS makes the daemon's client trust a, and show certificates, if there are some.
func (d *daemon) speakTLS(a *authority, certificates ...tls.Certificate) {
	d.scheme = "https"
	d.http = &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true, // Each request shakes hands anew.
			TLSClientConfig:   &tls.Config{RootCAs: a.pool, Certificates: certificates},
		},
	}
}

// presented returns the serial number of the certificate that the daemon shows, 0 if the handshake fails.
func (d *daemon) presented(a *authority, certificates ...tls.Certificate) int64 {
	conn, err := tls.Dial("tcp", d.run.address, &tls.Config{RootCAs: a.pool, Certificates: certificates})
	if err != nil {
		return 0
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestTLS: HTTPS works, plain HTTP does not, a renewed certificate is shown without a restart, and half a renewal shuts
// nobody out.
func TestTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, t.TempDir(), "ca")
	first := a.issue("server")
	d := daemonAt(
		t,
		filepath.Join(t.TempDir(), "data"),
		"--tls-cert",
		a.path("server.pem"),
		"--tls-key",
		a.path("server.key"),
	)
	d.speakTLS(a)
	d.start()
	d.withProduct("p1", `{}`)
	if got := d.batch(line("connect", "p1", "d1"), line("up", "p1", "d1")); got[1] != "accepted" {
		t.Errorf("over TLS: %q", got)
	}
	if got := d.speak("GET /v1/accounts HTTP/1.1\r\nHost: x\r\n\r\n"); len(got) > 12 && got[9] == '2' {
		t.Errorf("plain HTTP on the TLS port: %q", got)
	}
	if got := d.presented(a); got != first {
		t.Errorf("certificate %d is shown, want %d", got, first)
	}
	second := a.issue("server")
	await(t, "the renewed certificate is shown", func() bool { return d.presented(a) == second })
	if err := os.WriteFile(a.path("server.key"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 20 { // Longer than files go unlooked at.
		if got := d.presented(a); got != second {
			t.Fatalf("after half a renewal certificate %d is shown, want %d", got, second)
		}
		<-tick.C
	}
	third := a.issue("server")
	await(t, "the next renewal is shown", func() bool { return d.presented(a) == third })
	d.stop()
	d.start()
	if v := d.device("p1", "d1"); v.Messages.Up != 1 {
		t.Errorf("%+v", v.Messages)
	}
}

// TestNotLoopbackWithTLS: with TLS any address may be listened on.
func TestNotLoopbackWithTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, t.TempDir(), "ca")
	a.issue("server")
	data := filepath.Join(t.TempDir(), "data")
	for _, flags := range [][]string{
		{"--tls-cert", a.path("server.pem"), "--tls-key", a.path("server.key")},
		{"--insecure"},
	} {
		r := serve(t, nil, append([]string{"--data", data, "--listen", "0.0.0.0:0"}, flags...)...)
		select {
		case <-r.ready:
		case <-r.exited:
			t.Fatalf("%q: it ended:\n%s", flags, r.said())
		case <-time.After(patience):
			t.Fatalf("%q: it is not ready:\n%s", flags, r.said())
		}
		_ = r.cmd.Process.Kill()
		<-r.exited
	}
}

// TestMutualTLS: only clients with a certificate of the named authority get in, and the authority can be changed
// without a restart.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := newAuthority(t, dir, "ca")
	other := newAuthority(t, t.TempDir(), "ca")
	a.issue("server")
	pair := func(from *authority) tls.Certificate {
		from.issue("client")
		cert, err := tls.LoadX509KeyPair(from.path("client.pem"), from.path("client.key"))
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	ours, theirs := pair(a), pair(other)
	d := daemonAt(t, filepath.Join(t.TempDir(), "data"),
		"--tls-cert", a.path("server.pem"), "--tls-key", a.path("server.key"), "--tls-client-ca", a.path("ca.pem"))
	d.speakTLS(a, ours)
	d.start()
	reach := func(certificates ...tls.Certificate) bool {
		d.speakTLS(a, certificates...)
		_, err := d.try("GET", "/livez", nil)
		return err == nil
	}
	if !reach(ours) || reach() || reach(theirs) {
		t.Error("not exactly the clients of the authority get in")
	}
	ca, err := os.ReadFile(other.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.path("ca.pem.new"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(a.path("ca.pem.new"), a.path("ca.pem")); err != nil {
		t.Fatal(err)
	}
	await(t, "the other authority's clients get in", func() bool { return reach(theirs) })
	if reach(ours) {
		t.Error("the first authority's clients still get in")
	}
}
