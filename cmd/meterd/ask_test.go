package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/docs/contract"
)

// What bodies are.
const (
	asNDJSON = "application/x-ndjson"
	asJSON   = "application/json"
)

// answer is what came back to a request.
type answer struct {
	status int
	header http.Header
	body   []byte

	isRepeated bool // it was asked for before, and what became of that was not answered
}

// problem is an RFC 9457 answer with what this API adds.
type problem struct {
	Type, Title, Detail, Code, Field, Scope string
	Status, Line                            int
	Limit, Used, Requested                  uint64
	TopupAvailable                          uint64    `json:"topup_available"`
	ResetsAt                                time.Time `json:"resets_at"`
}

type denial struct {
	problem
	Index int
}

// result is the answer to a batch.
type result struct {
	Accepted int
	Denied   []denial
}

type counts struct{ Total, Used, Available uint64 }

type accountView struct {
	Account, Kind, Region string
	Licenses              struct {
		counts
		Gift counts
	}
}

type productView struct {
	Product, Account string
	TimeZone         string `json:"time_zone"`
	Plan             struct {
		MessagesPerDay *uint32 `json:"messages_per_day"`
		LogDays        *int    `json:"log_days"`
	}
	Licenses counts
	Topups   struct{ OTA counts }
	Devices  struct{ Active, Online int }
}

type deviceView struct {
	Product, Device, State string
	Online                 bool
	Holder                 *string
	ActivatedAt            time.Time `json:"activated_at"`
	ExpiresAt              time.Time `json:"expires_at"`
	Messages               struct {
		Day              string
		Up, Down, Denied uint64
		Limit            *uint64
		ResetsAt         time.Time `json:"resets_at"`
	}
	OTA struct {
		Month         string
		AllowanceUsed uint64 `json:"allowance_used"`
		TopupUsed     uint64 `json:"topup_used"`
		Denied        uint64
		Limit         uint64
		ResetsAt      time.Time `json:"resets_at"`
	}
}

type licenseView struct {
	Serial                  uint64
	Product, Device, Source string
	ActivatedAt             time.Time `json:"activated_at"`
	ExpiresAt               time.Time `json:"expires_at"`
	State                   string
}

type lotView struct {
	Order                            string
	Quantity, Units, Used, Available uint64
	CreditedAt                       time.Time `json:"credited_at"`
}

type logView struct {
	DecidedAt     time.Time `json:"decided_at"`
	Type          string
	Size          int64
	Topic         *string
	Payload       *string
	PayloadBase64 []byte `json:"payload_base64"`
	Verdict       string
	DayUsed       uint64 `json:"day_used"`

	PayloadTruncated bool `json:"payload_truncated"`
}

// try makes a request with the administrator's token. header holds names and values in turn; an empty value takes a
// header away. Request and answer must be as docs/openapi.yaml says.
func (d *daemon) try(method, path string, body []byte, header ...string) (answer, error) {
	req, err := http.NewRequest(method, d.scheme+"://"+d.run.address+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if len(body) > 0 {
		req.Header.Set("Content-Type", asJSON)
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Del(header[i]); header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	req.Body = http.NoBody // It was read.
	checkContract(d.t, &contract.Exchange{Request: req, Sent: body, Status: a.status, Header: a.header, Body: a.body})
	return a, nil
}

// newContract reads docs/openapi.yaml once for all tests.
var newContract = sync.OnceValues(contract.New)

// checkContract compares a request and its answer with docs/openapi.yaml.
func checkContract(t testing.TB, x *contract.Exchange) {
	t.Helper()
	c, err := newContract()
	if err != nil {
		t.Error(err)
	} else if err := c.Check(x); err != nil {
		t.Error(err)
	}
}

// ask is try for requests that must be answered.
func (d *daemon) ask(method, path, body string, header ...string) answer {
	d.t.Helper()
	a, err := d.try(method, path, []byte(body), header...)
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s", method, path, err, d.run.said())
	}
	return a
}

// must is ask for requests that must succeed, and reads the answer into v unless it is nil.
func (d *daemon) must(method, path, body string, v any) answer {
	d.t.Helper()
	a := d.ask(method, path, body)
	if a.status/100 != 2 {
		d.t.Fatalf("%s %s %s: %d %s", method, path, body, a.status, a.body)
	}
	a.into(d.t, v)
	return a
}

// into reads the body into v unless that is nil.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if v == nil {
		return
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("answer %q: %v", a.body, err)
	}
}

// problem reads the answer as RFC 9457 has it, and checks that it is one in all its parts.
func (a answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	a.into(t, &p)
	switch {
	case a.header.Get("Content-Type") != "application/problem+json":
		t.Errorf("a problem of content type %q: %s", a.header.Get("Content-Type"), a.body)
	case p.Type == "" || p.Title == "" || p.Code == "":
		t.Errorf("a problem without type, title or code: %s", a.body)
	case p.Status != a.status:
		t.Errorf("the problem says status %d, the answer %d", p.Status, a.status)
	}
	return p
}

// refuse fails the test unless the answer is the problem with this status and code.
func (a answer) refuse(t testing.TB, status int, code string) problem {
	t.Helper()
	p := a.problem(t)
	if a.status != status || p.Code != code {
		t.Errorf("answered %d %s, want %d %s", a.status, a.body, status, code)
	}
	return p
}

// batch sends lines of NDJSON and returns the verdicts, one an event.
func (d *daemon) batch(lines ...string) []string {
	d.t.Helper()
	a := d.ask("POST", "/v1/events", strings.Join(lines, "\n"), "Content-Type", asNDJSON)
	if a.status != http.StatusOK {
		d.t.Fatalf("a batch of %d: %d %s", len(lines), a.status, a.body)
	}
	codes, err := a.verdicts(len(lines))
	if err != nil {
		d.t.Fatal(err)
	}
	return codes
}

// verdicts returns the code of each of n events of a batch.
func (a answer) verdicts(n int) ([]string, error) {
	var r result
	if err := json.Unmarshal(a.body, &r); err != nil {
		return nil, fmt.Errorf("answer %q: %w", a.body, err)
	}
	if r.Accepted+len(r.Denied) != n {
		return nil, fmt.Errorf("%d accepted and %d denied are not the %d sent", r.Accepted, len(r.Denied), n)
	}
	codes := make([]string, n)
	for i := range codes {
		codes[i] = "accepted"
	}
	last := -1
	for _, den := range r.Denied {
		if den.Index <= last || den.Index >= n {
			return nil, fmt.Errorf("denial of event %d behind that of %d, of %d", den.Index, last, n)
		}
		last = den.Index
		codes[den.Index] = den.Code
	}
	return codes, nil
}

// line is an event.
func line(typ, product, device string) string {
	return fmt.Sprintf(`{"type":%q,"product":%q,"device":%q}`, typ, product, device)
}

// sized is an event with a size.
func sized(typ, product, device string, size int64) string {
	return fmt.Sprintf(`{"type":%q,"product":%q,"device":%q,"size":%d}`, typ, product, device, size)
}

// repeat returns n times the same line.
func repeat(n int, line string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}

// device reads a device's view, which must be there.
func (d *daemon) device(product, device string) (v deviceView) {
	d.t.Helper()
	d.must("GET", "/v1/products/"+product+"/devices/"+device, "", &v)
	return v
}

func (d *daemon) product(product string) (v productView) {
	d.t.Helper()
	d.must("GET", "/v1/products/"+product, "", &v)
	return v
}

// pages reads a list to its end: member is its name, path has no limit or cursor yet.
func pages[T any](d *daemon, path, member string) (list []T) {
	d.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for cursor := ""; ; {
		var page map[string]json.RawMessage
		d.must("GET", path+sep+"limit=1000"+cursor, "", &page)
		var part []T
		if err := json.Unmarshal(page[member], &part); err != nil {
			d.t.Fatalf("%s of %s: %v", member, path, err)
		}
		list = append(list, part...)
		var next *string
		if raw := page["next"]; raw != nil {
			if err := json.Unmarshal(raw, &next); err != nil {
				d.t.Fatalf("next of %s: %v", path, err)
			}
		}
		if next == nil {
			return list
		}
		cursor = "&cursor=" + *next
	}
}

// logs reads a device's whole log, newest first.
func (d *daemon) logs(product, device string) (list []logView) {
	d.t.Helper()
	a := d.ask("GET", "/v1/products/"+product+"/devices/"+device+"/logs", "", "Accept", asNDJSON)
	if a.status != http.StatusOK {
		d.t.Fatalf("log of %s: %d %s", device, a.status, a.body)
	}
	lines := bufio.NewScanner(bytes.NewReader(a.body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e logView
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			d.t.Fatalf("log line %q: %v", lines.Bytes(), err)
		}
		list = append(list, e)
	}
	return list
}

// metric returns the value of a line of /metrics, "" without one.
func (d *daemon) metric(name string) string {
	d.t.Helper()
	for l := range strings.Lines(string(d.ask("GET", "/metrics", "").body)) {
		if value, ok := strings.CutPrefix(l, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// noon is a time zone in which it is noon, so that no day ends while a test runs.
func noon() string { return fmt.Sprintf("%+03d:00", 12-time.Now().UTC().Hour()) }

// withProduct creates an enterprise account of the product's name, and the product with a plan.
func (d *daemon) withProduct(product, plan string) {
	d.t.Helper()
	d.must("POST", "/v1/accounts", fmt.Sprintf(`{"account":%q,"kind":"enterprise"}`, product), nil)
	d.must(
		"POST",
		"/v1/products",
		fmt.Sprintf(`{"product":%q,"account":%q,"time_zone":%q,"plan":%s}`, product, product, noon(), plan),
		nil,
	)
}

// withoutGifts uses an account's gifts up for devices of another product of it.
func (d *daemon) withoutGifts(account string) {
	d.t.Helper()
	d.drawGifts(account, 0)
	if got := d.batch(line("connect", account+"-gifts", "last"))[0]; got != "license_exhausted" {
		d.t.Fatalf("after the gifts: %s", got)
	}
}

// drawGifts is withoutGifts with some left.
func (d *daemon) drawGifts(account string, left uint64) {
	d.t.Helper()
	other := account + "-gifts"
	d.must("POST", "/v1/products", fmt.Sprintf(`{"product":%q,"account":%q}`, other, account), nil)
	for i := range d.account(account).Licenses.Gift.Available - left {
		if got := d.batch(line("connect", other, fmt.Sprintf("g%d", i)))[0]; got != "accepted" {
			d.t.Fatalf("gift %d: %s", i, got)
		}
	}
}

// credit adds a lot.
func (d *daemon) credit(product, order string, quantity int) {
	d.t.Helper()
	d.must("POST", "/v1/products/"+product+"/lots", fmt.Sprintf(`{"order":%q,"quantity":%d}`, order, quantity), nil)
}

// topup adds a pack.
func (d *daemon) topup(product, order string, units int) {
	d.t.Helper()
	d.must(
		"POST",
		"/v1/products/"+product+"/topups",
		fmt.Sprintf(`{"order":%q,"kind":"ota","units":%d}`, order, units),
		nil,
	)
}

// account reads an account.
func (d *daemon) account(name string) (v accountView) {
	d.t.Helper()
	d.must("GET", "/v1/accounts/"+name, "", &v)
	return v
}

// licenses reads all licences of a product, in the order in which they were consumed.
func (d *daemon) licenses(product string) []licenseView {
	d.t.Helper()
	return pages[licenseView](d, "/v1/products/"+product+"/licenses", "licenses")
}
