package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// admin speaks to the daemon's administration: what is asked seldom, so comfort before speed.
type admin struct {
	address string // HOST:PORT
	token   string
	http    *http.Client
}

func newAdmin(address, token string) *admin {
	return &admin{address: address, token: token, http: &http.Client{
		Timeout:   askWithin,
		Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true},
	}}
}

// refusal is an answer that is no success.
type refusal struct {
	call   string
	status int
	code   string
	detail string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", r.call, r.status, r.code, r.detail)
}

// do asks and hands the answer's body to read; an answer that is no success becomes a *refusal.
func (a *admin) do(ctx context.Context, method, path string, body any, read func(io.Reader) error) error {
	call := method + " " + path
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s: %w", call, err)
		}
		content = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+a.address+path, content)
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := a.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	limited := io.LimitReader(answer.Body, bodyBytesAdminMax)
	if answer.StatusCode/100 != 2 {
		problem := struct{ Code, Detail string }{}
		b, _ := io.ReadAll(limited)     // What cannot be read explains nothing; the status stands.
		_ = json.Unmarshal(b, &problem) // As above.
		err = &refusal{call: call, status: answer.StatusCode, code: problem.Code, detail: problem.Detail}
	} else if err = read(limited); err != nil {
		err = fmt.Errorf("%s: %w", call, err)
	}
	return errors.Join(err, answer.Body.Close())
}

// ask is do for JSON: the answer is read into answer, unless that is nil.
func (a *admin) ask(ctx context.Context, method, path string, body, answer any) error {
	return a.do(ctx, method, path, body, func(r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil || answer == nil {
			return err
		}
		return json.Unmarshal(b, answer)
	})
}

// ready returns nil if the daemon says that it is.
func (a *admin) ready(ctx context.Context) error {
	return a.ask(ctx, http.MethodGet, "/readyz", nil, nil)
}

// create makes account and product with a lot of exactly licences. The account may be there already, the product may not: its
// counts are compared.
func (a *admin) create(ctx context.Context, product, zone string, licenses int) error {
	account := map[string]any{"account": product, "kind": "enterprise"}
	err := a.ask(ctx, http.MethodPost, "/v1/accounts", account, nil)
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusConflict {
		err = nil
	}
	if err != nil {
		return err
	}
	plan := map[string]any{"validity": "P5Y", "messages_per_day": nil}
	err = a.ask(ctx, http.MethodPost, "/v1/products",
		map[string]any{"product": product, "account": product, "time_zone": zone, "plan": plan}, nil)
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusConflict {
		return fmt.Errorf("the product %q is there already: give another name, its counts begin at zero: %w", product, err)
	}
	if err != nil {
		return err
	}
	return a.ask(ctx, http.MethodPost, "/v1/products/"+product+"/lots", map[string]any{"order": "bench", "quantity": licenses}, nil)
}

// zoneOfMorning returns a time zone in which it is early in the day: a run does not cross a midnight.
func zoneOfMorning(now time.Time) string {
	hours := dayLeftHour - now.UTC().Hour()
	if hours < -12 {
		hours += 24
	}
	if hours < 0 {
		return fmt.Sprintf("-%02d:00", -hours)
	}
	return fmt.Sprintf("+%02d:00", hours)
}

// productView is what a product's view says of licences.
type productView struct {
	Licenses struct{ Total, Used, Available int }
}

func (a *admin) product(ctx context.Context, product string) (v productView, err error) {
	return v, a.ask(ctx, http.MethodGet, "/v1/products/"+product, nil, &v)
}

// deviceView is what a device's view says of its state and the running day.
type deviceView struct {
	State    string
	Messages struct{ Up, Down, Denied uint64 }
}

func (a *admin) device(ctx context.Context, product, device string) (v deviceView, err error) {
	return v, a.ask(ctx, http.MethodGet, "/v1/products/"+product+"/devices/"+device, nil, &v)
}

// logged counts the rows of a device's log by type; rows that were denied count as "denied".
func (a *admin) logged(ctx context.Context, product, device string) (map[string]uint64, error) {
	counts := map[string]uint64{}
	path := "/v1/products/" + product + "/devices/" + device + "/logs?limit=1000"
	for rows, cursor := 0, ""; ; {
		var page struct {
			Logs []struct{ Type, Verdict string }
			Next string
		}
		if err := a.ask(ctx, http.MethodGet, path+cursor, nil, &page); err != nil {
			return nil, err
		}
		for _, row := range page.Logs {
			if row.Verdict != "accepted" {
				row.Type = "denied"
			}
			counts[row.Type]++
		}
		if rows += len(page.Logs); page.Next == "" || rows > logSampleRowsMax {
			return counts, nil
		}
		cursor = "&cursor=" + page.Next
	}
}

// metrics reads /metrics.
func (a *admin) metrics(ctx context.Context) (m Metrics, err error) {
	err = a.do(ctx, http.MethodGet, "/metrics", nil, func(r io.Reader) error {
		for lines := bufio.NewScanner(r); ; {
			if !lines.Scan() {
				return lines.Err()
			}
			if err := m.add(strings.TrimSpace(lines.Text())); err != nil {
				return err
			}
		}
	})
	return m, err
}
