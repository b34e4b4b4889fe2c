package route

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// Fingerprint returns what a node tells of its certificate: the SHA-256 of its first one, in hex.
func Fingerprint(certificate *tls.Certificate) string {
	sum := sha256.Sum256(certificate.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// PeerTLS returns what a node is called with that has told a fingerprint: it is proved by its certificate, whatever
// name is in it, whoever signed it, and whenever it ends. own is presented to a node that asks for one; it may return
// nil.
func PeerTLS(fingerprint string, own func() *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // The certificate itself is compared.
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !isOf(state.PeerCertificates[0], fingerprint) {
				return errors.New("its certificate is not the one that the node has told")
			}
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := own(); c != nil {
				return c, nil
			}
			return &tls.Certificate{}, nil // None.
		},
	}
}

func isOf(c *x509.Certificate, fingerprint string) bool {
	sum := sha256.Sum256(c.Raw)
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(fingerprint)) == 1
}

// AdmitPeers changes a server's config that wants certificates of clients, so that it takes those of nodes, too: known
// says which fingerprints nodes have told. Others must be signed as ClientCAs say.
func AdmitPeers(config *tls.Config, known func(fingerprint string) bool) {
	if config.ClientAuth != tls.RequireAndVerifyClientCert {
		return
	}
	roots := config.ClientCAs
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		if sum := sha256.Sum256(leaf.Raw); known(hex.EncodeToString(sum[:])) {
			return nil
		}
		between := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return fmt.Errorf("the client's certificate: %w", err)
		}
		return nil
	}
}
