package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Options is what a Sender is made of.
type Options struct {
	// AllowPrivate lets it reach addresses that are not of the public internet.
	AllowPrivate bool
	Version      string // of the daemon, for the receiver

	roots *x509.CertPool // a test's
}

// Sender posts messages. It is safe for concurrent use.
type Sender struct {
	client http.Client
	agent  string
}

// New returns a Sender.
func New(o Options) *Sender {
	dialer := &net.Dialer{Timeout: connectTimeout, Control: refuseInside}
	if o.AllowPrivate {
		dialer.Control = nil
	}
	transport := &http.Transport{
		Proxy:                  nil, // Of the environment, least of all.
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.roots},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // Nobody reads the answer.
		MaxIdleConns:           idleConnections,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: headerBytesMax,
	}
	return &Sender{
		client: http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		agent: "meterd/" + o.Version,
	}
}

// Close lets go of idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Outcome is what came of one call.
type Outcome struct {
	Err        error         // nil: the receiver has taken the message
	Gone       bool          // it wants no more of them (410)
	RetryAfter time.Duration // it asks to be left alone for so long, at most RetryAfterMax; 0: it does not say
}

// Call is one message on its way.
type Call struct {
	URL     string
	Secrets [][]byte
	ID      string // the same at every try
	Body    []byte // JSON
}

// Send posts a message, signed now. Ending ctx ends the call.
func (s *Sender) Send(ctx context.Context, c *Call) Outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(c.Body))
	if err != nil {
		return Outcome{Err: fmt.Errorf("make the request: %w", err)}
	}
	now := time.Now().Unix()
	header := request.Header
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", s.agent)
	header.Set("webhook-id", c.ID)
	header.Set("webhook-timestamp", strconv.FormatInt(now, 10))
	header.Set("webhook-signature", Signature(c.Secrets, c.ID, now, c.Body))
	answer, err := s.client.Do(request)
	if err != nil {
		return Outcome{Err: inShort(err)}
	}
	_, _ = io.CopyN(io.Discard, answer.Body, answerBytesMax) // What it fails with says nothing: the status is there.
	_ = answer.Body.Close()
	return outcomeOf(answer)
}

// inShort leaves out of an error what the reader knows, method and URL, and what the reader must not learn: which
// address a name has inside, and who was asked for it.
func inShort(err error) error {
	var u *url.Error
	var name *net.DNSError
	switch {
	case errors.Is(err, errRefused):
		return errRefused
	case errors.As(err, &name):
		return errors.New("the host's name cannot be resolved")
	case !errors.As(err, &u):
		return err
	case u.Timeout():
		return fmt.Errorf("no answer within %s", timeout)
	}
	return u.Err
}

func outcomeOf(answer *http.Response) Outcome {
	status := answer.StatusCode
	if status >= 200 && status <= 299 {
		return Outcome{}
	}
	o := Outcome{Err: fmt.Errorf("answered %d %s", status, http.StatusText(status)), Gone: status == http.StatusGone}
	if status >= 300 && status <= 399 {
		o.Err = fmt.Errorf("answered %d %s: redirects are not followed; set the webhook's url", status,
			http.StatusText(status))
	}
	o.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	return o
}

// retryAfter reads a Retry-After: seconds, or an instant. 0: it says nothing that can be used.
func retryAfter(text string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), RetryAfterMax)
}
