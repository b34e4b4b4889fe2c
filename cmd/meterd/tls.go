package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// tlsCheckEvery is how long a handshake may use certificates without looking whether their files changed.
const tlsCheckEvery = time.Second

// tlsConfig returns what HTTPS is spoken with, nil without certificate. admit, if it is not nil, changes what it
// takes of clients.
func tlsConfig(o *serveOptions, admit func(*tls.Config)) (*tls.Config, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	f := &tlsFiles{o: o, admit: admit}
	if _, err := f.config(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.config() },
	}, nil
}

// tlsFiles reads certificates again when their files change. A change that cannot be read leaves the old ones in use:
// half a renewal must not shut everybody out.
type tlsFiles struct {
	o       *serveOptions
	admit   func(*tls.Config)
	mu      sync.Mutex
	current *tls.Config
	stamp   [3]time.Time
	checked time.Time
}

func (f *tlsFiles) config() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil && time.Since(f.checked) < tlsCheckEvery {
		return f.current, nil
	}
	f.checked = time.Now()
	stamp, err := f.stamps()
	if err == nil && (f.current == nil || stamp != f.stamp) {
		var fresh *tls.Config
		if fresh, err = f.read(); err == nil {
			f.current, f.stamp = fresh, stamp
		}
	}
	if f.current == nil {
		return nil, err
	}
	return f.current, nil
}

func (f *tlsFiles) stamps() (stamp [3]time.Time, err error) {
	for i, path := range []string{f.o.tlsCert, f.o.tlsKey, f.o.tlsClientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return stamp, fmt.Errorf("look at TLS files: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

func (f *tlsFiles) read() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.o.tlsCert, f.o.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if f.o.tlsClientCA != "" {
		pem, err := os.ReadFile(f.o.tlsClientCA)
		if err != nil {
			return nil, fmt.Errorf("read --tls-client-ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("read --tls-client-ca: there is no certificate in it")
		}
		config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	if f.admit != nil {
		f.admit(config)
	}
	return config, nil
}
