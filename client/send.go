package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/event"
)

// transport returns the HTTP client to use. Redirects are never followed: a batch goes where the operator said.
func transport(o *Options) *http.Client {
	hc := &http.Client{}
	if o.HTTPClient != nil {
		*hc = *o.HTTPClient
	} else {
		hc.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: o.Timeout, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: o.InFlightMax + 1,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: o.Timeout,
			DisableCompression:  true, // Answers are small, and the way is short.
		}
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return hc
}

// deliver asks about b and returns its verdicts, or why there are none. It sends the same body again only after an answer that says that
// nothing was counted.
func (c *Client) deliver(b *batch) outcome {
	c.inFlight.Add(1)
	defer c.inFlight.Add(-1)
	ctx, cancel := context.WithTimeout(c.ctx, c.opts.Timeout)
	defer cancel()
	if err := c.settleOffline(ctx); err != nil {
		return outcome{err: err}
	}
	for attempt := 0; ; attempt++ {
		c.stats.requests.Add(1)
		answer, err := c.post(ctx, c.eventsURL, b.body, answerBytesMin+answerBytesPerEvent*len(b.entries))
		if err == nil {
			verdicts, err := parseAnswer(answer, len(b.entries))
			if err != nil {
				return outcome{err: &UnavailableError{Ambiguous: true, Status: http.StatusOK, Err: err}}
			}
			return outcome{verdicts: verdicts}
		}
		if err.Status != http.StatusServiceUnavailable || !pause(ctx, retryPause(attempt, err.RetryAfter)) {
			return outcome{err: err}
		}
		c.stats.retries.Add(1)
	}
}

// settleOffline makes the call that OweOffline asked for, before anything else is sent.
func (c *Client) settleOffline(ctx context.Context) *UnavailableError {
	if !c.offlineOwed.Load() {
		return nil
	}
	c.offlineMu.Lock()
	defer c.offlineMu.Unlock()
	if !c.offlineOwed.Load() {
		return nil
	}
	if _, err := c.postOffline(ctx); err != nil {
		err.Ambiguous = false // The events behind it were not sent.
		return err
	}
	c.offlineOwed.Store(false)
	return nil
}

// postOffline makes the call and returns how many devices went offline.
func (c *Client) postOffline(ctx context.Context) (devices int, _ *UnavailableError) {
	answer, err := c.post(ctx, c.offlineURL, nil, answerBytesMin)
	if err != nil {
		return 0, err
	}
	var a struct {
		Devices *int `json:"devices"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Devices == nil || *a.Devices < 0 {
		return 0, &UnavailableError{Ambiguous: true, Status: http.StatusOK, Err: errors.New("offline: the answer names no number of devices")}
	}
	return *a.Devices, nil
}

// post makes one request and returns the body of a 200, at most answerBytesMax bytes of it.
func (c *Client) post(ctx context.Context, url string, body []byte, answerBytesMax int) ([]byte, *UnavailableError) {
	var sent atomic.Bool // whether a connection was there to send on
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("build request: %w", err)}
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Meterd-Producer", c.opts.Producer)
	if c.opts.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	resp, err := c.http.Do(req) // The transport repeats a POST by itself only if it wrote not one byte of it.
	if err != nil {
		return nil, &UnavailableError{Ambiguous: sent.Load(), Err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(answerBytesMax)+1))
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp, answer)
	}
	if err != nil {
		return nil, &UnavailableError{Ambiguous: true, Status: resp.StatusCode, Err: fmt.Errorf("read answer: %w", err)}
	}
	if len(answer) > answerBytesMax {
		return nil, &UnavailableError{Ambiguous: true, Status: resp.StatusCode, Err: fmt.Errorf("answer is over %d bytes", answerBytesMax)}
	}
	return answer, nil
}

// refusal turns an answer that is no 200 into an error. 503 and all of 3xx and 4xx promise that nothing was counted; another 5xx
// may come from something between here and meterd and promises nothing, nor does a 2xx that is not in the contract.
func refusal(resp *http.Response, answer []byte) *UnavailableError {
	e := &UnavailableError{Status: resp.StatusCode}
	e.Ambiguous = resp.StatusCode != http.StatusServiceUnavailable && (resp.StatusCode < 300 || resp.StatusCode >= 500)
	p := problemOf(resp, answer)
	e.RetryAfter, e.Err = p.RetryAfter, p
	return e
}

// retryPause is how long to leave meterd alone before attempt+1: what it asked for or a growing pause of ours, jittered upwards so
// that it is never less than asked.
func retryPause(attempt int, asked time.Duration) time.Duration {
	d := asked
	if d == 0 {
		d = min(retryPauseMin<<min(attempt, 10), retryPauseMax)
	}
	return d + jittered(d/4)
}

// pause waits for d; false at once when ctx would end before, or when it ends.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// parseAnswer reads the answer to a batch of n events, strictly: every event has exactly one verdict, or the answer is none.
func parseAnswer(answer []byte, n int) ([]Verdict, error) {
	var a struct {
		Accepted *int `json:"accepted"`
		Denied   []struct {
			Index          *int      `json:"index"`
			Code           string    `json:"code"`
			Limit          uint64    `json:"limit"`
			Used           uint64    `json:"used"`
			Requested      uint64    `json:"requested"`
			TopupAvailable uint64    `json:"topup_available"`
			ResetsAt       time.Time `json:"resets_at"`
			Scope          string    `json:"scope"`
			Field          string    `json:"field"`
			Detail         string    `json:"detail"`
		} `json:"denied"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if a.Accepted == nil || *a.Accepted < 0 || *a.Accepted+len(a.Denied) != n {
		return nil, fmt.Errorf("answer: accepted and denied are not together the %d events sent", n)
	}
	verdicts := make([]Verdict, n)
	for i := range verdicts {
		verdicts[i] = accepted(false)
	}
	for i := range a.Denied {
		d := &a.Denied[i]
		if d.Index == nil || *d.Index < 0 || *d.Index >= n || !verdicts[*d.Index].Accepted {
			return nil, fmt.Errorf("answer: denial %d names no event of the batch, or one twice", i)
		}
		if d.Code == "" || d.Code == event.Accepted.String() {
			return nil, fmt.Errorf("answer: denial %d has no code", i)
		}
		verdicts[*d.Index] = Verdict{
			Code: d.Code, Limit: d.Limit, Used: d.Used, Requested: d.Requested, TopupAvailable: d.TopupAvailable,
			ResetsAt: d.ResetsAt, Scope: d.Scope, Field: d.Field, Detail: d.Detail,
		}
	}
	return verdicts, nil
}
