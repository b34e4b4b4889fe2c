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

// create makes account and product of a fleet with a lot of exactly as many licences as devices. The account may be
// there already, the product may not: its counts are compared.
func (a *admin) create(ctx context.Context, account string, f *fleet) error {
	err := a.ask(ctx, http.MethodPost, "/v1/accounts", map[string]any{"account": account, "kind": "enterprise"}, nil)
	if isConflict(err) {
		err = nil
	}
	if err != nil {
		return err
	}
	plan := map[string]any{"validity": "P5Y", "messages_per_day": f.daily}
	err = a.ask(ctx, http.MethodPost, "/v1/products",
		map[string]any{"product": f.product, "account": account, "time_zone": f.zone, "plan": plan}, nil)
	if isConflict(err) {
		return fmt.Errorf("the product %q is there already: give another name, its counts begin at zero: %w", f.product, err)
	}
	if err != nil {
		return err
	}
	return a.ask(
		ctx,
		http.MethodPost,
		"/v1/products/"+f.product+"/lots",
		map[string]any{"order": "bench", "quantity": f.devices},
		nil,
	)
}

func isConflict(err error) bool {
	r := (*refusal)(nil)
	return errors.As(err, &r) && r.status == http.StatusConflict
}

// offline says that a producer holds no device any more, and returns how many it held.
func (a *admin) offline(ctx context.Context, producer string) (devices int, err error) {
	var answer struct{ Devices int }
	err = a.ask(ctx, http.MethodPost, "/v1/producers/"+producer+"/offline", nil, &answer)
	return answer.Devices, err
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
	Device   string
	State    string
	Messages struct {
		Day              string
		Up, Down, Denied uint64
	}
}

func (a *admin) device(ctx context.Context, product, device string) (v deviceView, err error) {
	return v, a.ask(ctx, http.MethodGet, "/v1/products/"+product+"/devices/"+device, nil, &v)
}

// page is a page of a list; of one that it has not, there is none.
type page struct {
	Devices []deviceView
	Logs    []logRow
	Next    string
}

// pages calls read for each page of a list. The path has a query.
func (a *admin) pages(ctx context.Context, path string, read func(*page)) error {
	for cursor := ""; ; {
		var p page
		if err := a.ask(ctx, http.MethodGet, path+cursor, nil, &p); err != nil {
			return err
		}
		if read(&p); p.Next == "" {
			return nil
		}
		cursor = "&cursor=" + p.Next
	}
}

// devices calls yield for each device of a product that was ever active.
func (a *admin) devices(ctx context.Context, product string, yield func(deviceView)) error {
	return a.pages(ctx, "/v1/products/"+product+"/devices?limit=1000", func(p *page) {
		for _, v := range p.Devices {
			yield(v)
		}
	})
}

// logRow is a row of a device's log.
type logRow struct {
	DecidedAt time.Time `json:"decided_at"`
	Type      string    `json:"type"`
	Verdict   string    `json:"verdict"`
	DayUsed   uint64    `json:"day_used"`
}

// log calls yield for each row of a device's log that was decided after since, to the millisecond; the newest comes
// first.
func (a *admin) log(ctx context.Context, product, device string, since time.Time, yield func(logRow)) error {
	path := "/v1/products/" + product + "/devices/" + device + "/logs?limit=1000&from=" +
		since.UTC().Truncate(time.Millisecond).Add(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	return a.pages(ctx, path, func(p *page) {
		for _, row := range p.Logs {
			yield(row)
		}
	})
}

// metrics reads /metrics.
func (a *admin) metrics(ctx context.Context) (m Metrics, err error) {
	err = a.do(ctx, http.MethodGet, "/metrics", nil, func(r io.Reader) error {
		return eachLine(r, m.add)
	})
	return m, err
}

// eachLine calls read for each line, up to its first error.
func eachLine(r io.Reader, read func(string) error) error {
	for lines := bufio.NewScanner(r); ; {
		if !lines.Scan() {
			return lines.Err()
		}
		if err := read(strings.TrimSpace(lines.Text())); err != nil {
			return err
		}
	}
}
