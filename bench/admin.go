package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/meterd/meterd/client"
)

// admin makes the calls of the administration that scenarios and checks need.
type admin struct{ *client.Admin }

// newAdmin returns the administration at an address, HOST:PORT.
func newAdmin(address, token string) (admin, error) {
	a, err := client.NewAdmin(client.AdminOptions{URL: "http://" + address, Token: token, Timeout: askWithin})
	return admin{a}, err
}

func (a admin) get(ctx context.Context, path string, answer any) error {
	return a.Call(ctx, http.MethodGet, path, nil, nil, answer)
}

func (a admin) post(ctx context.Context, path string, body, answer any) error {
	return a.Call(ctx, http.MethodPost, path, nil, body, answer)
}

// ready returns nil if the daemon says that it is ready.
func (a admin) ready(ctx context.Context) error { return a.get(ctx, "/readyz", nil) }

// create makes the account and the product of a fleet, with one lot of exactly as many licences as devices. The account
// may exist already. The product may not: its counts are compared.
func (a admin) create(ctx context.Context, account string, f *fleet) error {
	err := a.post(ctx, "/v1/accounts", map[string]any{"account": account, "kind": "enterprise"}, nil)
	if err != nil && refusalStatus(err) != http.StatusConflict {
		return err
	}
	plan := map[string]any{"validity": "P5Y", "messages_per_day": f.daily}
	product := map[string]any{"product": f.product, "account": account, "time_zone": f.zone, "plan": plan}
	if err = a.post(ctx, "/v1/products", product, nil); refusalStatus(err) == http.StatusConflict {
		return fmt.Errorf("the product %q exists already: give another name, its counts begin at zero: %w", f.product, err)
	}
	if err != nil {
		return err
	}
	lot := map[string]any{"order": "bench", "quantity": f.devices}
	return a.post(ctx, client.Path("v1", "products", f.product, "lots"), lot, nil)
}

// refusalStatus returns the HTTP status of a refusal, 0 for any other error.
func refusalStatus(err error) int {
	if p := (*client.Problem)(nil); errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// offline says that a producer holds no device any more, and returns how many it held.
func (a admin) offline(ctx context.Context, producer string) (devices int, err error) {
	var answer struct{ Devices int }
	err = a.post(ctx, client.Path("v1", "producers", producer, "offline"), nil, &answer)
	return answer.Devices, err
}

// zoneOfMorning returns a time zone in which it is early in the day, so that a run does not cross a midnight.
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

// productView is what a product's view says about licences.
type productView struct {
	Licenses struct{ Total, Used, Available int }
}

func (a admin) product(ctx context.Context, product string) (v productView, err error) {
	return v, a.get(ctx, client.Path("v1", "products", product), &v)
}

// deviceView is what a device's view says about its state and the running day.
type deviceView struct {
	Device   string
	State    string
	Messages struct {
		Day              string
		Up, Down, Denied uint64
	}
}

func (a admin) device(ctx context.Context, product, device string) (v deviceView, err error) {
	return v, a.get(ctx, client.Path("v1", "products", product, "devices", device), &v)
}

// devices returns the devices of a product that were ever active.
func (a admin) devices(ctx context.Context, product string) iter.Seq2[deviceView, error] {
	return client.Elements[deviceView](ctx, a.Admin, client.Path("v1", "products", product, "devices"), "devices", nil)
}

// logRow is a row of a device's log.
type logRow struct {
	DecidedAt time.Time `json:"decided_at"`
	Type      string    `json:"type"`
	Verdict   string    `json:"verdict"`
	DayUsed   uint64    `json:"day_used"`
}

// log returns the rows of a device's log that were decided after since, to the millisecond, newest first.
func (a admin) log(ctx context.Context, product, device string, since time.Time) iter.Seq2[logRow, error] {
	from := since.UTC().Truncate(time.Millisecond).Add(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	path := client.Path("v1", "products", product, "devices", device, "logs")
	return client.Lines[logRow](ctx, a.Admin, path, url.Values{"from": {from}})
}

// metrics reads /metrics.
func (a admin) metrics(ctx context.Context) (m Metrics, err error) {
	for line, err := range a.Text(ctx, "/metrics") {
		if err == nil {
			err = m.add(line)
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}
