package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Answer is what a store answered.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// errTooLarge means that an answer has more bytes than are held.
var errTooLarge = errors.New("the answer is too large: ask for fewer series, or a longer step")

// vm is a VictoriaMetrics, a child or the operator's.
type vm struct {
	client *http.Client
	base   string
	// isChild: it takes the parameter flush.
	isChild bool
}

// childVM returns the child whose Unix socket is at path. An idle connection is kept for each query.
func childVM(path string) *vm {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: queriesMax + 1, DisableCompression: true,
	}
	return &vm{client: &http.Client{Transport: transport}, base: "http://history", isChild: true}
}

// operatorVM returns the VictoriaMetrics at a URL; its user and password, if any, are sent with each request.
func operatorVM(base string) *vm {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: queriesMax + 1, TLSHandshakeTimeout: healthWithin,
		DialContext: (&net.Dialer{Timeout: healthWithin}).DialContext,
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &vm{client: &http.Client{Transport: transport, CheckRedirect: noRedirect}, base: strings.TrimRight(base, "/")}
}

// ValidURL reports what is wrong with the URL of an operator's VictoriaMetrics.
func ValidURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("it is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("it must be http://HOST… or https://HOST…")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("it must end with a path")
	}
	return nil
}

func (v *vm) write(ctx context.Context, body []byte, shown bool) error {
	path := v.base + "/api/v1/import/prometheus"
	if shown && v.isChild {
		path += "?flush=1"
	}
	answer, err := v.ask(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if answer.Status/100 != 2 {
		return fmt.Errorf("samples were refused with status %d: %.200s", answer.Status, answer.Body)
	}
	return nil
}

func (v *vm) get(ctx context.Context, path, query string) (Answer, error) {
	return v.ask(ctx, http.MethodGet, v.base+"/api/v1/"+path+"?"+query, nil)
}

// healthy asks whether it answers.
func (v *vm) healthy(ctx context.Context) error {
	answer, err := v.ask(ctx, http.MethodGet, v.base+"/health", nil)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("its health has status %d", answer.Status)
	}
	return err
}

func (v *vm) ask(ctx context.Context, method, target string, body io.Reader) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return Answer{}, withoutURL(err)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return Answer{}, withoutURL(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err != nil {
		return Answer{}, withoutURL(err)
	}
	if len(text) > answerBytesMax {
		return Answer{}, errTooLarge
	}
	return Answer{Status: response.StatusCode, ContentType: response.Header.Get("Content-Type"), Body: text}, nil
}

// withoutURL leaves the URL out of an error: it may hold a password.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("ask VictoriaMetrics: %w", u.Err)
	}
	return err
}
