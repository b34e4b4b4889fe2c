package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/webhook"
)

// Webhooks delivers what hooks are told; *webhook.Service is it.
type Webhooks interface {
	CheckURL(url string) error
	Status(h *license.Hook) webhook.Status
	DeadLetters(h *license.Hook, after uint64, n int) ([]webhook.DeadLetter, error)
	// MayRetry returns what Retry would refuse now.
	MayRetry(h *license.Hook, id string) error
	Retry(h *license.Hook, id string) error
	TryNow(h *license.Hook)
}

// hookSecretBytes is the length of a secret: the specification asks for 24 to 64.
const hookSecretBytes = 32

type hookAnswer struct {
	Name               string   `json:"name"`
	URL                string   `json:"url"`
	Events             []string `json:"events"`
	Account            *string  `json:"account"` // null: all
	LicensesLowPercent uint32   `json:"licenses_low_percent"`
	PacksLowPercent    uint32   `json:"packs_low_percent"`
	CreatedAt          instant  `json:"created_at"`
	ChangedAt          instant  `json:"changed_at"`
	Secret             string   `json:"secret,omitempty"` // when it is made, never again

	State           string   `json:"state"`
	Queued          int      `json:"queued"`
	OldestQueuedAt  *instant `json:"oldest_queued_at"`
	DeadLetters     int      `json:"dead_letters"`
	Delivered       uint64   `json:"delivered"`
	FailedTries     uint64   `json:"failed_tries"`
	Dropped         uint64   `json:"dropped"`
	LastDeliveredAt *instant `json:"last_delivered_at"`
	LastTriedAt     *instant `json:"last_tried_at"`
	LastError       *string  `json:"last_error"`
	NextTryAt       *instant `json:"next_try_at"`
}

func (c *call) showHook(h *license.Hook) hookAnswer {
	st := c.webhooks.Status(h)
	return hookAnswer{
		Name: h.Name, URL: h.URL, Events: h.Events.Names(), Account: maybe(h.Account),
		LicensesLowPercent: h.LicensesLowPercent, PacksLowPercent: h.PacksLowPercent,
		CreatedAt: instant(h.CreatedAtMs), ChangedAt: instant(h.ChangedAtMs),
		State: st.State, Queued: st.Queued, OldestQueuedAt: maybe(instant(st.OldestQueuedMs)), DeadLetters: st.DeadLetters,
		Delivered: st.Delivered, FailedTries: st.FailedTries, Dropped: st.Dropped,
		LastDeliveredAt: maybe(instant(st.LastDeliveredMs)), LastTriedAt: maybe(instant(st.LastTriedMs)),
		LastError: maybe(st.LastError), NextTryAt: maybe(instant(st.NextTryMs)),
	}
}

// hook returns the webhook of the path.
func (c *call) hook() (*license.Hook, error) {
	name := c.path("webhook")
	h := c.catalogue.Hook(name)
	if h == nil || !c.sees(h.Account) {
		return nil, notFound("webhook", name)
	}
	return h, nil
}

// putHook answers PUT /v1/webhooks/{webhook}: it makes a webhook, 201, or changes the one with the name, 200. A token
// that is bound to an account makes and changes those of its account. What waits is tried at once, also when nothing
// has changed.
func (c *call) putHook() error {
	spec := license.HookSpec{Name: c.path("webhook"), Secret: make([]byte, hookSecretBytes)}
	_, _ = rand.Read(spec.Secret) // It never fails.
	var newSecret *bool
	err := c.read(fields{
		"url": text(&spec.URL), "events": names(&spec.Events), "account": maybeBoundTo(&spec.Account),
		"licenses_low_percent": percent(&spec.LicensesLowPercent), "packs_low_percent": percent(&spec.PacksLowPercent),
		"new_secret": flag(&newSecret),
	})
	switch {
	case err != nil:
		return err
	case spec.URL == "":
		return invalid("url", "is needed")
	}
	if err := c.webhooks.CheckURL(spec.URL); err != nil {
		return invalid("url", err.Error())
	}
	if spec.Account == "" {
		spec.Account = c.token.Account
	}
	if !c.sees(spec.Account) {
		return notFound("account", spec.Account)
	}
	spec.NewSecret = newSecret != nil && *newSecret
	var h *license.Hook
	var created bool
	err = c.give(license.NameHook, spec.Name,
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			s := spec
			if old := cat.Hook(s.Name); old != nil && s.Account == "" {
				s.Account = old.Account // It never changes, so that it need not be said again.
			}
			if c.isCellZeros(s.Account) {
				return nil, nil, errOfCellZero("webhook", s.Name)
			}
			next, ch, h, created, err = cat.SetHook(by, s)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	c.webhooks.TryNow(h)
	answer, status := c.showHook(h), fasthttp.StatusOK
	if created {
		status = fasthttp.StatusCreated
	}
	if created || spec.NewSecret {
		answer.Secret = license.HookSecretText(h.Secret)
		c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	}
	return c.answer(status, answer)
}

// maybeBoundTo reads an account, null for none.
func maybeBoundTo(to *string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if string(raw) == "null" {
			return nil
		}
		return boundTo(to)(raw)
	}
}

// percent reads a part of a hundred that is neither none nor all.
func percent(to *uint64) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if err := amount(to)(raw); err != nil || *to < 1 || *to > 99 {
			return errors.New("must be a whole number from 1 to 99")
		}
		return nil
	}
}

// listHooks answers GET /v1/webhooks, in the order of names. Secrets are not shown.
func (c *call) listHooks() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	cursor, err := c.cursorName()
	if err != nil {
		return err
	}
	all, _ := c.catalogue.Hooks()
	var seen []*license.Hook
	for _, h := range all {
		if c.sees(h.Account) {
			seen = append(seen, h)
		}
	}
	page, next := pageAfter(seen, cursor, limit, func(h *license.Hook) string { return h.Name })
	list := make([]hookAnswer, len(page))
	for i, h := range page {
		list[i] = c.showHook(h)
	}
	return c.answerPage("webhooks", list, next)
}

// showOneHook answers GET /v1/webhooks/{webhook}.
func (c *call) showOneHook() error {
	h, err := c.hook()
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, c.showHook(h))
}

// deleteHook answers DELETE /v1/webhooks/{webhook}: what waits for it is never delivered.
func (c *call) deleteHook() error {
	h, err := c.hook()
	if err != nil {
		return err
	}
	err = c.take(license.NameHook, h.Name,
		func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			if c.isCellZeros(h.Account) {
				return nil, nil, errOfCellZero("webhook", h.Name)
			}
			return cat.DeleteHook(by, h.Name)
		})
	if err != nil {
		return err
	}
	c.ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

type deadLetterAnswer struct {
	ID       string          `json:"id"` // webhook-id
	Event    string          `json:"event"`
	QueuedAt instant         `json:"queued_at"`
	DiedAt   instant         `json:"died_at"`
	Tries    uint64          `json:"tries"`
	Error    string          `json:"error"`
	Body     json.RawMessage `json:"body"`
}

// listDeadLetters answers GET /v1/webhooks/{webhook}/dead-letters, oldest first.
func (c *call) listDeadLetters() error {
	h, err := c.hook()
	if err != nil {
		return err
	}
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	var after uint64
	if _, err := c.cursorNumbers(&after); err != nil {
		return err
	}
	letters, err := c.webhooks.DeadLetters(h, after, limit+1)
	if err != nil {
		return err
	}
	var next *string
	if len(letters) > limit {
		letters = letters[:limit]
		next = cursorOf(letters[limit-1].Number)
	}
	list := make([]deadLetterAnswer, len(letters))
	for i, l := range letters {
		list[i] = deadLetterAnswer{
			ID: l.ID, Event: l.Event, QueuedAt: instant(l.QueuedMs), DiedAt: instant(l.DiedMs), Tries: l.Tries,
			Error: l.Error, Body: l.Body,
		}
	}
	return c.answerPage("dead_letters", list, next)
}

// retryDeadLetter answers POST /v1/webhooks/{webhook}/dead-letters/{id}/retry: the letter is queued again, behind what
// waits. It is queued after its entry in the audit log is durable: nothing is sent that nobody has asked for, or whose
// token is deleted.
func (c *call) retryDeadLetter() error {
	h, err := c.hook()
	if err == nil {
		err = c.readNothing()
	}
	if err != nil {
		return err
	}
	id := c.path("id")
	if !event.ValidName([]byte(id)) {
		return notFound("dead_letter", id)
	}
	if err := c.webhooks.MayRetry(h, id); err != nil {
		return err
	}
	err = c.administer(func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch := cat.Note(by, "webhook.retry", h.Name, map[string]any{"account": h.Account, "id": id})
		return next, ch, nil
	})
	if err == nil {
		err = c.webhooks.Retry(h, id)
	}
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusAccepted, map[string]any{"id": id, "webhook": h.Name, "state": "queued"})
}
