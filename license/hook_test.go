package license

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// hook sets a webhook, with a secret made of its name if it has none.
func (b *book) hook(s HookSpec) *Hook {
	b.Helper()
	if s.Secret == nil {
		s.Secret = bytes.Repeat([]byte(s.Name[:1]), 32)
	}
	next, ch, h, _, err := b.cat.SetHook(b.by(), s)
	b.keep(next, ch, err)
	return h
}

// A webhook is made, changed and deleted; its number and secret stay while it is only changed.
func TestHooks(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	spec := HookSpec{Name: "ops", URL: "https://example.com/1", Events: []string{"ingest.stopped", "device.quota_80"}}
	made := b.hook(spec)
	if got := made.Events.Names(); !slices.Equal(got, []string{"device.quota_80", "ingest.stopped"}) ||
		made.LicensesLowPercent != HookLowPercent || made.PacksLowPercent != HookLowPercent {
		t.Errorf("made %+v, events %q", *made, got)
	}
	seq := b.cat.Seq
	if same := b.hook(spec); same != made || b.cat.Seq != seq {
		t.Errorf("the same again is change %d of %+v", b.cat.Seq, *same)
	}
	spec.URL, spec.Secret, spec.PacksLowPercent = "https://example.com/2", []byte("another"), 50
	changed := b.hook(spec)
	if changed.ID != made.ID || !bytes.Equal(changed.Secret, made.Secret) || changed.URL != spec.URL ||
		changed.OldSecret != nil || changed.ChangedAtMs <= made.ChangedAtMs || changed.PacksLowPercent != 50 {
		t.Errorf("changed into %+v", *changed)
	}
	spec.NewSecret = true
	renewed := b.hook(spec)
	if string(renewed.Secret) != "another" || !bytes.Equal(renewed.OldSecret, made.Secret) ||
		renewed.OldUntilMs != b.atMs+HookSecretKept.Milliseconds() {
		t.Errorf("with a new secret it is %+v", *renewed)
	}
	next, ch, err := b.cat.DeleteHook(b.by(), "ops")
	b.keep(next, ch, err)
	if b.cat.Hook("ops") != nil {
		t.Error("it is still there")
	}
	if again := b.hook(spec); again.ID == made.ID {
		t.Error("the number was given twice")
	}
	for key, value := range b.ledger {
		if key[0] == 'U' && bytes.Contains(value, []byte(HookSecretText([]byte("another"))[6:])) {
			t.Errorf("a secret is in the audit log: %s", value)
		}
	}
	if got, want := b.reload(t).dump(), b.cat.dump(); got != want {
		t.Errorf("loaded as\n%s\nwant\n%s", got, want)
	}
}

func TestHooksAreRefused(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.account("eve", Enterprise)
	good := HookSpec{Name: "h", URL: "https://h", Events: []string{"device.quota_80"}, Account: "acme"}
	b.hook(good)
	for _, tt := range []struct {
		change func(*HookSpec)
		code   event.Code
		field  string
	}{
		{func(s *HookSpec) { s.Name = "" }, event.InvalidArgument, "name"},
		{func(s *HookSpec) { s.Name = strings.Repeat("h", 65) }, event.InvalidArgument, "name"},
		{func(s *HookSpec) { s.URL = "" }, event.InvalidArgument, "url"},
		{func(s *HookSpec) { s.URL = strings.Repeat("h", hookURLBytesMax+1) }, event.InvalidArgument, "url"},
		{func(s *HookSpec) { s.Events = nil }, event.InvalidArgument, "events"},
		{func(s *HookSpec) { s.Events = []string{"device.quota_80", ""} }, event.InvalidArgument, "events"},
		{func(s *HookSpec) { s.Events = []string{"ingest.stopped"} }, event.InvalidArgument, "events"},
		{func(s *HookSpec) { s.PacksLowPercent = 100 }, event.InvalidArgument, "packs_low_percent"},
		{func(s *HookSpec) { s.LicensesLowPercent = 1 << 60 }, event.InvalidArgument, "licenses_low_percent"},
		{func(s *HookSpec) { s.Account = "eve" }, event.AlreadyExists, "account"},
		{func(s *HookSpec) { s.Account = "" }, event.AlreadyExists, "account"},
		{func(s *HookSpec) { s.Account, s.Name = "bob", "new" }, event.NotFound, "account"},
	} {
		spec := good
		tt.change(&spec)
		next, _, _, _, err := b.cat.SetHook(b.by(), spec)
		wantProblem(t, err, tt.code, tt.field)
		if next != nil {
			t.Errorf("%+v: there is a next catalogue", spec)
		}
	}
	_, _, err := b.cat.DeleteHook(b.by(), "none")
	wantProblem(t, err, event.NotFound, "webhook")
}

func TestHooksAreBounded(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	spec := HookSpec{URL: "https://h", Events: []string{"device.quota_80"}, Secret: []byte("s")}
	set := func(name, account string) error {
		spec.Name, spec.Account = name, account
		next, ch, _, _, err := b.cat.SetHook(b.by(), spec)
		if err == nil {
			b.keep(next, ch, nil)
		}
		return err
	}
	for i := range hooksAccountMax {
		if err := set(fmt.Sprintf("a%d", i), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	wantProblem(t, set("more", "acme"), event.InvalidArgument, "name")
	for i := range hooksMax - hooksAccountMax {
		account := fmt.Sprintf("acc%d", i/hooksAccountMax)
		if i%hooksAccountMax == 0 {
			b.account(account, Personal)
		}
		if err := set(fmt.Sprintf("d%d", i), account); err != nil {
			t.Fatal(err)
		}
	}
	b.account("last", Personal)
	wantProblem(t, set("more", "last"), event.InvalidArgument, "name")
	if list, _ := b.cat.Hooks(); len(list) != hooksMax || !slices.IsSortedFunc(list, func(a, b *Hook) int {
		return strings.Compare(a.Name, b.Name)
	}) {
		t.Errorf("%d hooks, or not sorted", len(list))
	}
}

// Whoever is told about quotas is known by account, and asking does not allocate.
func TestTellsQuota(t *testing.T) {
	b := newBook(t)
	for i := range 130 {
		b.account(fmt.Sprintf("a%d", i), Personal)
	}
	for _, i := range []int{0, 63, 64, 129} {
		b.product(fmt.Sprintf("p%d", i), fmt.Sprintf("a%d", i), "")
	}
	told := func() (list []string) {
		for _, p := range b.cat.Products("") {
			if b.cat.TellsQuota(p) {
				list = append(list, p.Name)
			}
		}
		return list
	}
	b.hook(HookSpec{Name: "other", URL: "u", Events: []string{"product.packs_low"}})
	if got := told(); got != nil {
		t.Errorf("told %q", got)
	}
	b.hook(HookSpec{Name: "one", URL: "u", Events: []string{"device.quota_100"}, Account: "a63"})
	b.hook(HookSpec{Name: "last", URL: "u", Events: []string{"device.quota_80"}, Account: "a64"})
	if got := told(); !slices.Equal(got, []string{"p63", "p64"}) {
		t.Errorf("told %q", got)
	}
	b.hook(HookSpec{Name: "all", URL: "u", Events: []string{"device.quota_80"}})
	if got := told(); len(got) != 4 {
		t.Errorf("told %q", got)
	}
	p := b.get("p63")
	if n := testing.AllocsPerRun(100, func() { _ = b.cat.TellsQuota(p) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
	var problem *event.Problem
	if _, _, err := b.cat.DeleteHook(b.by(), "all"); errors.As(err, &problem) {
		t.Fatal(err)
	}
}
