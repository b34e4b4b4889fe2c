package api

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/webhook"
)

var _ Webhooks = (*webhook.Service)(nil)

// hooks is a service that delivers nothing, for it is not started; hooks whose names begin with "dead" have dead
// letters, of which that called "dead" loses those that are sent again.
type hooks struct {
	*webhook.Service
	letters []webhook.DeadLetter
	asked   func() // called by MayRetry
}

func openHooks(t testing.TB) *hooks {
	t.Helper()
	store, err := ledger.Open(ledger.Options{Path: filepath.Join(t.TempDir(), "webhooks")})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	service, err := webhook.Open(webhook.Options{Store: store})
	must(t, err)
	h := &hooks{Service: service, asked: func() {}}
	for i := range 3 {
		h.letters = append(h.letters, webhook.DeadLetter{
			Number: uint64(i + 7), ID: fmt.Sprintf("msg_%d", i), Event: "device.quota_80", QueuedMs: 1_795_000_000_000,
			DiedMs: 1_795_259_200_000, Tries: 42, Error: "answered 500",
			Body: []byte(`{"type":"device.quota_80","timestamp":"2026-11-18T11:06:40Z","data":{"percent":80}}`),
		})
	}
	return h
}

func (h *hooks) DeadLetters(hook *license.Hook, after uint64, n int) ([]webhook.DeadLetter, error) {
	if !strings.HasPrefix(hook.Name, "dead") {
		return h.Service.DeadLetters(hook, after, n)
	}
	i := slices.IndexFunc(h.letters, func(l webhook.DeadLetter) bool { return l.Number > after })
	if i < 0 {
		return nil, nil
	}
	return h.letters[i:min(i+n, len(h.letters))], nil
}

func (h *hooks) MayRetry(hook *license.Hook, id string) error {
	h.asked()
	if !strings.HasPrefix(hook.Name, "dead") {
		return h.Service.MayRetry(hook, id)
	}
	return h.find(id)
}

func (h *hooks) find(id string) error {
	if slices.ContainsFunc(h.letters, func(l webhook.DeadLetter) bool { return l.ID == id }) {
		return nil
	}
	return &event.Problem{Code: event.NotFound, Field: "dead_letter", Detail: "dead_letter: there is none called " + id}
}

func (h *hooks) Retry(hook *license.Hook, id string) error {
	if !strings.HasPrefix(hook.Name, "dead") {
		return h.Service.Retry(hook, id)
	}
	err := h.find(id)
	if err == nil && hook.Name == "dead" {
		h.letters = slices.DeleteFunc(h.letters, func(l webhook.DeadLetter) bool { return l.ID == id })
	}
	return err
}

// What the audit log does not say is not done: a letter stays where it is if the token was deleted on the way.
func TestRetryIsAuditedFirst(t *testing.T) {
	d := newDaemon(t, nil)
	d.expect(201, "PUT", "/v1/webhooks/dead", `{"url":"https://h","events":["device.quota_80"]}`)
	d.addToken("short", access.RoleAdmin, "")
	h := d.handler.webhooks.(*hooks)
	h.asked = func() {
		must(t, d.engine.Administer("test", nil,
			func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				return c.DeleteToken(by, "short")
			}))
	}
	ctx, _ := d.ask(request{token: "short", method: "POST", uri: "/v1/webhooks/dead/dead-letters/msg_1/retry"})
	if status := ctx.Response.StatusCode(); status != 401 || h.find("msg_1") != nil {
		t.Errorf("it is answered %d, and the letters are %+v", status, h.letters)
	}
}
