package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// AdminOptions say whom an Admin asks. URL is needed; every other zero value stands for its default.
type AdminOptions struct {
	URL     string        // of meterd, http or https, a path prefix allowed; of several nodes: with commas between
	Token   string        // bearer token; empty sends none
	Timeout time.Duration // of one call, and of silence within an answer that is streamed; default 30 s
	// for https: a certificate authority of one's own, a certificate for mutual TLS; default: the system's authorities
	TLS *tls.Config

	Header http.Header // sent with each request

	// HTTPClient replaces the transport, TLS included, for tests. Its Timeout must be 0, redirects are never followed.
	HTTPClient *http.Client
}

// Validate reports every fault of o at once; nil when there is none.
func (o AdminOptions) Validate() error {
	err := errors.Join(validateURL(o.URL), validateToken(o.Token))
	if o.Timeout < 0 {
		err = errors.Join(err, fmt.Errorf("timeout %v: must not be negative", o.Timeout))
	}
	return err
}

// Admin makes the calls of the administration of one meterd. What it sends and hands back is JSON as the contract has
// it. It keeps no state but idle connections and is safe for concurrent use.
type Admin struct {
	opts  AdminOptions
	bases []string      // of the nodes, at least one
	at    atomic.Uint32 // which of them is asked, modulo their number: the next one when it cannot be
	http  *http.Client
}

// NewAdmin returns an Admin, or every fault of opts. It opens no connection.
func NewAdmin(opts AdminOptions) (*Admin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Timeout == 0 {
		opts.Timeout = adminTimeoutDefault
	}
	hc := &http.Client{}
	if opts.HTTPClient != nil {
		*hc = *opts.HTTPClient
	} else {
		hc.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: opts.Timeout}).DialContext,
			TLSClientConfig:     opts.TLS,
			TLSHandshakeTimeout: opts.Timeout,
			IdleConnTimeout:     opts.Timeout,
		}
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Admin{opts: opts, bases: addresses(opts.URL), http: hc}, nil
}

// Close closes idle connections.
func (a *Admin) Close() { a.http.CloseIdleConnections() }

// Path returns the path of segments, each escaped, so that no name can lead elsewhere.
func Path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		switch s {
		case ".", "..": // Valid names, which paths would be cleaned of.
			b.WriteString(strings.Repeat("%2E", len(s)))
		default:
			b.WriteString(url.PathEscape(s))
		}
	}
	return b.String()
}

// Call makes one call: path is as Path returns it, body is sent as JSON unless it is nil, and the answer is read into
// out unless that is nil or there is none (204). A refusal is a *Problem. Nothing is sent twice: after another error
// than a *Problem it is unknown whether the call was made, and a caller that repeats it relies on the contract (orders
// are credited once). Of several nodes the next one is asked when one cannot be reached or says that it cannot answer
// now, and after any failure of a question, silence for a share of the Timeout included.
func (a *Admin) Call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, a.opts.Timeout)
	defer cancel()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
	}
	resp, err := a.ask(ctx, method, path, query, sent, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, adminAnswerBytesMax+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	case len(answer) > adminAnswerBytesMax:
		return fmt.Errorf("the answer to %s %s is over %d bytes", method, path, adminAnswerBytesMax)
	case out == nil || resp.StatusCode == http.StatusNoContent:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer to %s %s is not what was expected: %w", method, path, err)
	}
	return nil
}

// ask makes a request and returns the answer if it is a 2xx; its body is the caller's to close.
func (a *Admin) ask(
	ctx context.Context,
	method, path string,
	query url.Values,
	body []byte,
	accept string,
) (*http.Response, error) {
	return a.askWith(ctx, method, path, query, body, accept, nil)
}

// askWith is ask with headers of its own.
func (a *Admin) askWith(
	ctx context.Context,
	method, path string,
	query url.Values,
	body []byte,
	accept string,
	header http.Header,
) (resp *http.Response, err error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	for range a.bases {
		at := a.at.Load()
		var next bool
		resp, next, err = a.askOne(ctx, method, a.bases[at%uint32(len(a.bases))]+path, body, accept, header)
		if !next || ctx.Err() != nil {
			return resp, err
		}
		a.at.CompareAndSwap(at, at+1)
	}
	return resp, err
}

// askOne asks one node; next reports whether another one may be asked for the same, since this one did nothing.
func (a *Admin) askOne(
	ctx context.Context,
	method, target string,
	body []byte,
	accept string,
	header http.Header,
) (_ *http.Response, next bool, _ error) {
	var sent atomic.Bool
	ctx, cancel := context.WithCancelCause(ctx)
	if len(a.bases) > 1 && method == http.MethodGet { // One that is paused takes a question and says nothing.
		share := a.opts.Timeout / time.Duration(len(a.bases))
		silent := time.AfterFunc(share, func() { cancel(silenceError{share}) })
		defer silent.Stop()
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(traced, method, target, content)
	if err != nil {
		cancel(nil)
		return nil, false, fmt.Errorf("build request: %w", err)
	}
	maps.Copy(req.Header, a.opts.Header)
	maps.Copy(req.Header, header)
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.opts.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.opts.Token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		if silent := (silenceError{}); errors.As(context.Cause(ctx), &silent) {
			err = fmt.Errorf("%s %s: %w", method, target, silent)
		}
		cancel(nil)
		return nil, method == http.MethodGet || !sent.Load(), err // It names method and URL.
	}
	if resp.StatusCode/100 == 2 {
		resp.Body = cancelling{resp.Body, cancel}
		return resp, false, nil
	}
	defer cancel(nil)
	defer resp.Body.Close()
	p := readProblem(resp)
	isRefused := p.Status == http.StatusServiceUnavailable && p.Code != ""
	return nil, isRefused || method == http.MethodGet && p.Status >= http.StatusInternalServerError, p
}

// cancelling is the body of an answer whose context ends with it.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close ends the answer.
func (c cancelling) Close() error {
	defer c.cancel(nil)
	return c.ReadCloser.Close()
}
