package license

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/meterd/meterd/event"
)

// HookEvent is what a webhook may be told of.
type HookEvent uint8

// The events of webhooks; docs/webhooks.md says when each happens.
const (
	HookQuota80 HookEvent = iota
	HookQuota100
	HookLicensesLow
	HookLicensesDry
	HookPacksLow
	HookLicensesEnding
	HookSnapshotSealed
	HookSnapshotRefused
	HookIngestStopped
	HookIngestResumed
	hookEvents
)

var hookEventNames = [hookEvents]string{
	HookQuota80:         "device.quota_80",
	HookQuota100:        "device.quota_100",
	HookLicensesLow:     "product.licenses_low",
	HookLicensesDry:     "product.licenses_dry",
	HookPacksLow:        "product.packs_low",
	HookLicensesEnding:  "product.licenses_ending",
	HookSnapshotSealed:  "snapshot.sealed",
	HookSnapshotRefused: "snapshot.refused",
	HookIngestStopped:   "ingest.stopped",
	HookIngestResumed:   "ingest.resumed",
}

// String returns the name of the event in bodies.
func (e HookEvent) String() string { return hookEventNames[e] }

// HookEvents is a set of events.
type HookEvents uint32

// HookEventsOf returns the set of events with these names; unknown is the first that is none, "" if all are.
func HookEventsOf(names []string) (set HookEvents, unknown string) {
	for _, name := range names {
		i := slices.Index(hookEventNames[:], name)
		if i < 0 {
			return 0, name
		}
		set |= 1 << i
	}
	return set, ""
}

// Has reports whether an event is in the set.
func (s HookEvents) Has(e HookEvent) bool { return s&(1<<e) != 0 }

// HasAny reports whether any of some events is in the set.
func (s HookEvents) HasAny(events ...HookEvent) bool { return slices.ContainsFunc(events, s.Has) }

// Names returns the names of the events in the set.
func (s HookEvents) Names() []string {
	names := []string{}
	for e := range hookEvents {
		if s.Has(e) {
			names = append(names, e.String())
		}
	}
	return names
}

// Hook is a webhook: a URL that is told what happens. It never changes once it stands in a catalogue.
type Hook struct {
	ID        uint64 // the number of the change that made it: never given twice
	Name      string // unique in the daemon
	URL       string
	Events    HookEvents
	Account   string // whose events it is told; "": all of the daemon
	AccountID uint32
	// LicensesLowPercent and PacksLowPercent are of a product's total, 1 to 99: when no more is left the hook is told.
	LicensesLowPercent, PacksLowPercent uint32
	// Secret signs what is sent. OldSecret, the one before it, signs too until OldUntilMs, so that a receiver can change
	// over.
	Secret, OldSecret []byte
	OldUntilMs        int64
	CreatedAtMs       int64
	ChangedAtMs       int64
}

// Wants reports whether the hook is to be told of an event that concerns an account, 0 for the daemon itself.
func (h *Hook) Wants(e HookEvent, accountID uint32) bool {
	return h.Events.Has(e) && (h.AccountID == 0 || h.AccountID == accountID)
}

// HookSecretText returns a secret as its owner gets it (Standard Webhooks).
func HookSecretText(secret []byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(secret)
}

// hooks are the webhooks of a catalogue.
type hooks struct {
	list []*Hook // by name
	seq  uint64  // the change that changed them last
	// Who is told about quotas of devices. The hot path asks this for each product of a batch.
	quota         bool     // anybody
	quotaAll      bool     // a hook of all accounts
	quotaAccounts []uint64 // a bit for each ordinal of an account
}

// Hooks returns the webhooks in the order of their names, and the number of the change that changed them last. The
// slice is the catalogue's.
func (c *Catalogue) Hooks() (list []*Hook, seq uint64) { return c.hooks.list, c.hooks.seq }

// Hook returns the webhook called name, nil if there is none.
func (c *Catalogue) Hook(name string) *Hook {
	if i, found := c.hooks.find(name); found {
		return c.hooks.list[i]
	}
	return nil
}

// TellsQuota reports whether anybody is told about the quotas of p's devices. It does not allocate.
func (c *Catalogue) TellsQuota(p *Product) bool {
	h := &c.hooks
	if !h.quota {
		return false
	}
	word := int(p.AccountID / 64)
	return h.quotaAll || word < len(h.quotaAccounts) && h.quotaAccounts[word]&(1<<(p.AccountID%64)) != 0
}

func (h *hooks) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(h.list, name, func(h *Hook, name string) int { return cmp.Compare(h.Name, name) })
}

// put adds or replaces a hook in a catalogue that is still being built.
func (h *hooks) put(seq uint64, hook *Hook) {
	h.list = slices.Clone(h.list)
	if i, found := h.find(hook.Name); found {
		h.list[i] = hook
	} else {
		h.list = slices.Insert(h.list, i, hook)
	}
	h.changed(seq)
}

// drop takes a hook from a catalogue that is still being built.
func (h *hooks) drop(seq uint64, name string) {
	if i, found := h.find(name); found {
		h.list = slices.Delete(slices.Clone(h.list), i, i+1)
	}
	h.changed(seq)
}

func (h *hooks) changed(seq uint64) {
	h.seq, h.quota, h.quotaAll, h.quotaAccounts = seq, false, false, nil
	for _, hook := range h.list {
		if !hook.Events.HasAny(HookQuota80, HookQuota100) {
			continue
		}
		h.quota = true
		if hook.AccountID == 0 {
			h.quotaAll = true
			continue
		}
		word := int(hook.AccountID / 64)
		if word >= len(h.quotaAccounts) {
			h.quotaAccounts = append(h.quotaAccounts, make([]uint64, word+1-len(h.quotaAccounts))...)
		}
		h.quotaAccounts[word] |= 1 << (hook.AccountID % 64)
	}
}

// HookSpec is what a webhook shall be.
type HookSpec struct {
	Name, URL string
	Events    []string
	Account   string
	// LicensesLowPercent and PacksLowPercent are 1 to 99; 0: HookLowPercent.
	LicensesLowPercent, PacksLowPercent uint64
	// Secret is that of a new hook, and with NewSecret of one that there is, too: then the old one signs for
	// HookSecretKept more.
	Secret    []byte
	NewSecret bool
}

func (s *HookSpec) validate() (HookEvents, error) {
	if !event.ValidName([]byte(s.Name)) {
		return 0, badName("name")
	}
	if s.URL == "" || len(s.URL) > hookURLBytesMax {
		return 0, invalid("url", fmt.Sprintf("must be 1 to %d bytes", hookURLBytesMax))
	}
	for field, percent := range map[string]*uint64{
		"licenses_low_percent": &s.LicensesLowPercent, "packs_low_percent": &s.PacksLowPercent,
	} {
		if *percent == 0 {
			*percent = HookLowPercent
		}
		if *percent > 99 {
			return 0, invalid(field, "must be a whole number from 1 to 99")
		}
	}
	events, unknown := HookEventsOf(s.Events)
	switch {
	case unknown != "":
		return 0, invalid("events", "there is none called "+unknown+"; they are "+strings.Join(hookEventNames[:], ", "))
	case events == 0:
		return 0, invalid("events", "must name at least one of "+strings.Join(hookEventNames[:], ", "))
	case s.Account != "" && events.HasAny(HookIngestStopped, HookIngestResumed):
		return 0, invalid("events", "ingest.stopped and ingest.resumed are the daemon's: a webhook of one account has none")
	}
	return events, nil
}

// SetHook makes a webhook, or changes the one with the name. Its account never changes: another account's hook answers
// already_exists. What changes nothing returns a nil catalogue and change.
func (c *Catalogue) SetHook(by Actor, s HookSpec) (n *Catalogue, ch *Change, h *Hook, created bool, err error) {
	events, err := s.validate()
	if err != nil {
		return nil, nil, nil, false, err
	}
	old := c.Hook(s.Name)
	if err := c.mayHook(&s, old); err != nil {
		return nil, nil, nil, false, err
	}
	if old == nil {
		if err := c.mayName(by, NameHook, s.Name); err != nil {
			return nil, nil, nil, false, err
		}
	}
	n = c.next()
	h = &Hook{ID: n.Seq, Name: s.Name, Account: s.Account, Secret: s.Secret, CreatedAtMs: by.AtMs}
	if s.Account != "" {
		h.AccountID = c.Account(s.Account).ID
	}
	action := "webhook.create"
	if old != nil {
		kept := *old
		h, action = &kept, "webhook.update"
		if s.NewSecret {
			h.OldSecret, h.OldUntilMs, h.Secret = old.Secret, by.AtMs+HookSecretKept.Milliseconds(), s.Secret
		}
	}
	h.URL, h.Events = s.URL, events
	h.LicensesLowPercent, h.PacksLowPercent = uint32(s.LicensesLowPercent), uint32(s.PacksLowPercent)
	if old != nil && h.same(old) {
		return nil, nil, old, false, nil
	}
	h.ChangedAtMs = by.AtMs
	n.hooks.put(n.Seq, h)
	ch = n.change(by, action, h.Name, map[string]any{
		"account": h.Account, "host": hostOf(h.URL), "events": events.Names(), "new_secret": old == nil || s.NewSecret,
	})
	ch.put(h.record())
	return n, ch, h, old == nil, nil
}

// hostOf returns what of a URL everybody may read who reads the audit log: paths and queries hold secrets.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// mayHook reports why there can be no such hook beside the others.
func (c *Catalogue) mayHook(s *HookSpec, old *Hook) error {
	if old != nil && old.Account != s.Account {
		return alreadyExists(NameHook, s.Name)
	}
	if s.Account != "" && c.Account(s.Account) == nil {
		return &event.Problem{
			Code: event.NotFound, Field: accountNameText, Detail: "account: there is none called " + s.Account,
		}
	}
	if old != nil {
		return nil
	}
	ofAccount := 0
	for _, h := range c.hooks.list {
		if h.Account == s.Account {
			ofAccount++
		}
	}
	if len(c.hooks.list) >= hooksMax || ofAccount >= hooksAccountMax {
		return invalid(
			"name",
			fmt.Sprintf("at most %d webhooks are of one account, or of the daemon, and %d in all; delete some",
				hooksAccountMax, hooksMax),
		)
	}
	return nil
}

func (h *Hook) same(o *Hook) bool {
	return h.URL == o.URL && h.Events == o.Events && h.LicensesLowPercent == o.LicensesLowPercent &&
		h.PacksLowPercent == o.PacksLowPercent && bytes.Equal(h.Secret, o.Secret)
}

// DeleteHook takes a webhook away: what it was not told yet it is never told.
func (c *Catalogue) DeleteHook(by Actor, name string) (*Catalogue, *Change, error) {
	h := c.Hook(name)
	if h == nil {
		return nil, nil, &event.Problem{
			Code:   event.NotFound,
			Field:  "webhook",
			Detail: "webhook: there is none called " + name,
		}
	}
	if err := c.mayName(by, NameHook, name); err != nil {
		return nil, nil, err
	}
	n := c.next()
	n.hooks.drop(n.Seq, name)
	ch := n.change(by, "webhook.delete", name, map[string]any{"account": h.Account})
	ch.put(put(hookKey(name), tombstone{Deleted: true}))
	return n, ch, nil
}

func hookKey(name string) []byte { return append([]byte{keyHook}, name...) }

// hookRecord is the record of a webhook.
type hookRecord struct {
	ID          uint64   `json:"id"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Account     string   `json:"account,omitempty"`
	AccountID   uint32   `json:"account_id,omitempty"`
	LicensesLow uint32   `json:"licenses_low_percent"`
	PacksLow    uint32   `json:"packs_low_percent"`
	Secret      []byte   `json:"secret"`
	OldSecret   []byte   `json:"old_secret,omitempty"`
	OldUntilMs  int64    `json:"old_until_ms,omitempty"`
	CreatedAtMs int64    `json:"created_at_ms"`
	ChangedAtMs int64    `json:"changed_at_ms"`
	Deleted     bool     `json:"deleted,omitempty"` // nothing else stands beside it
}

func (h *Hook) record() Put {
	return put(hookKey(h.Name), hookRecord{
		ID: h.ID, URL: h.URL, Events: h.Events.Names(), Account: h.Account, AccountID: h.AccountID,
		LicensesLow: h.LicensesLowPercent, PacksLow: h.PacksLowPercent, Secret: h.Secret, OldSecret: h.OldSecret,
		OldUntilMs: h.OldUntilMs, CreatedAtMs: h.CreatedAtMs, ChangedAtMs: h.ChangedAtMs,
	})
}

// hook takes the record of a webhook.
func (l *Loader) hook(key, value []byte) error {
	var r hookRecord
	if err := decode(key, value, len(key), &r); err != nil {
		return err
	}
	name := string(key[1:])
	if r.Deleted {
		l.c.hooks.drop(l.c.Seq, name)
		return nil
	}
	events, unknown := HookEventsOf(r.Events)
	switch a := l.c.Account(r.Account); {
	case unknown != "":
		return fmt.Errorf("webhook %q is told of %q, which this program does not know: it was written by a newer version",
			name, unknown)
	case r.Account != "" && (a == nil || a.ID != r.AccountID):
		return fmt.Errorf("webhook %q is of account %q, number %d, of which there is no record", name, r.Account, r.AccountID)
	case r.ID == 0 || len(r.Secret) == 0:
		return fmt.Errorf("webhook %q has no number or no secret", name)
	}
	l.c.hooks.put(l.c.Seq, &Hook{
		ID: r.ID, Name: name, URL: r.URL, Events: events, Account: r.Account, AccountID: r.AccountID,
		LicensesLowPercent: r.LicensesLow, PacksLowPercent: r.PacksLow, Secret: r.Secret, OldSecret: r.OldSecret,
		OldUntilMs: r.OldUntilMs, CreatedAtMs: r.CreatedAtMs, ChangedAtMs: r.ChangedAtMs,
	})
	return nil
}

// accountOfDetail returns the account that an audit entry names in its detail.
func accountOfDetail(e *AuditEntry) string {
	var detail struct {
		Account string `json:"account"`
	}
	if json.Unmarshal(e.Detail, &detail) != nil {
		return ""
	}
	return detail.Account
}
