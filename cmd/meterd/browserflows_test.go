package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// bearer is the token that the tab holds, "" without one.
const bearer = `sessionStorage.getItem('meterd.token') ?? ''`

// signs in with a wrong token, and with a link that is good once; signing out leaves nothing behind.
func (p *tab) signs() {
	p.navigate("/products/meters")
	p.allow("401")
	p.fill("Token", "mtd_wrong")
	p.keys(kb.Enter)
	p.sees("No such token, or it has expired.")
	link, err := url.Parse(strings.TrimSpace(p.d.ctl("sign-in")))
	if err != nil {
		p.t.Fatal(err)
	}
	p.navigate("/#" + link.Fragment)
	p.settles()
	p.sees("meters", "console-")
	if at := eval[string](p, "location.href"); strings.Contains(at, "sign-in") {
		p.t.Errorf("the address keeps the code: %s", at)
	}
	token := eval[string](p, bearer)
	if a := p.d.ask("GET", "/v1/whoami", "", "Authorization", "Bearer "+token); a.status != 200 {
		p.t.Errorf("the tab's token: %d %s", a.status, a.body)
	}

	other := newTab(p.browser, p.t, p.d)
	other.allow("401")
	other.navigate("/#" + link.Fragment)
	other.sees("This sign-in link was used already")

	p.navigate("/products/meters")
	p.settles()
	p.press("Sign out")
	p.sees("You are signed out.")
	kept := eval[string](p, "JSON.stringify({ ...sessionStorage, ...localStorage }) + document.cookie")
	if strings.Contains(kept, token) {
		p.t.Errorf("the tab keeps the token: %s", kept)
	}
	p.d.ask("GET", "/v1/whoami", "", "Authorization", "Bearer "+token).refuse(p.t, 401, "unauthorized")
	p.do(chromedp.NavigateBack())
	p.sees("The console works with a token")
	p.seesNot("meters")
}

// leaves is signed out in another page of the tab; the browser brings back one that it kept.
func (p *tab) leaves() {
	p.open("/products/meters", p.d.token)
	p.sees("PO-1")
	eval[chromedp.Void](
		p,
		`sessionStorage.clear(); dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })); 0`,
	)
	p.sees("You are signed out.")
	p.seesNot("PO-1")
}

// buys credits licences.
func (p *tab) buys() {
	p.d.withProduct("shop", `{"messages_per_day":1000}`)
	p.open("/products/shop", p.d.token)
	p.opens("Credit licences")
	p.fill("Order number", "PO-7")
	p.fill("Number of licences", "250")
	p.sees("0 → 250")
	p.press("Credit licences")
	p.sees("Order PO-7 holds 250 licences.", "PO-7")
	if v := p.d.product("shop"); v.Licenses.Total != 250 || v.Licenses.Available != 250 {
		p.t.Errorf("the product has %+v", v.Licenses)
	}
	if lots := pages[lotView](p.d, "/v1/products/shop/lots", "lots"); len(lots) != 1 || lots[0].Order != "PO-7" {
		p.t.Errorf("lots: %+v", lots)
	}
}

// upgrades raises a plan, of which the page says first what it changes, and what would be refused.
func (p *tab) upgrades() {
	p.d.withProduct("plans", `{"messages_per_day":1000}`)
	p.d.credit("plans", "PO-1", 5)
	p.open("/products/plans", p.d.token)
	p.opens("Upgrade the plan")
	p.fill("Messages per day", "500")
	p.sees("1,000 → 500", "The API would refuse this")
	if eval[bool](p, "person.has('Upgrade')") {
		p.t.Error("one can press what the API refuses")
	}
	p.fill("Messages per day", "2000")
	p.sees("1,000 → 2,000", "It cannot be lowered again.")
	p.press("Upgrade")
	p.sees("The plan of plans is changed.", "2,000")
	if n := p.d.product("plans").Plan.MessagesPerDay; n == nil || *n != 2000 {
		p.t.Errorf("the plan allows %v", n)
	}
}

// explains finds the device that was denied most, and why, in both languages.
func (p *tab) explains() {
	p.open("/products/meters", p.d.token)
	p.choose("By", "Denials")
	p.until("the top device is m2", `document.querySelector('#top tbody a')?.innerText === 'm2'`)
	p.press("m2")
	p.until("the device's page is there", `location.pathname === '/products/meters/devices/m2'`)
	p.settles()
	why := "The device has used the messages that its plan allows a day. Neither direction passes until the next day."
	p.sees(why, "5 of 5 messages of the day were used.")
	p.choose("Verdict", "Daily messages used up")
	p.until("the log has the three denials alone", `document.querySelectorAll('#log tbody tr').length === 3`)
	p.until("one can open a denial", `!document.querySelector('#log tbody button').click()`)
	p.until("a dialog is open", isAsking)
	p.sees(why, "Denied events stand in the log without their payload.")
	p.keys(kb.Escape)
	p.until("the dialog is closed", "!"+isAsking)
	p.speak("zh-CN")
	p.sees("设备已用完套餐规格允许的当日消息数，次日之前上行和下行均不再通过。", "当日 5 条消息已使用 5 条。")

	p.allow("404") // It is no device yet.
	p.navigate("/products/meters/devices/m3")
	p.settles()
	p.sees("此设备从未激活", "设备尚无激活码，须先上线。")
	p.speak("en")
	p.sees("This device has never been active", "The device has no licence yet: it must connect first.")
}

// suspends a device, and resumes it.
func (p *tab) suspends() {
	p.d.batch(line("connect", "meters", "m4"))
	p.open("/products/meters/devices/m4", p.d.token)
	p.opens("Suspend")
	p.sees("It is online and is put offline at once.")
	p.press("Suspend")
	p.sees("m4 is suspended.", "This device is suspended: every event is denied")
	if got := p.d.batch(line("connect", "meters", "m4"))[0]; got != "suspended" {
		p.t.Errorf("while it is suspended: %s", got)
	}
	p.opens("Resume")
	p.sees("It can connect again")
	p.press("Resume")
	p.sees("m4 is resumed.")
	p.seesNot("This device is suspended")
	if got := p.d.batch(line("connect", "meters", "m4"))[0]; got != "accepted" {
		p.t.Errorf("after it was resumed: %s", got)
	}
}

// follows shows an event as it comes.
func (p *tab) follows() {
	p.d.batch(line("connect", "meters", "m5"))
	p.open("/products/meters/devices/m5", p.d.token)
	p.press("Live")
	p.sees("The newest 200 entries stay here")
	for _, topic := range []string{"live/1", "live/2"} {
		p.d.batch(fmt.Sprintf(`{"type":"up","product":"meters","device":"m5","topic":%q}`, topic))
		p.sees(topic)
	}
}

// binds shows a viewer of one account nothing of others, and no button that it may not press.
func (p *tab) binds() {
	var made struct{ Token string }
	p.d.must("POST", "/v1/tokens", `{"name":"peek","role":"viewer","account":"meters"}`, &made)
	p.open("/", made.Token)
	p.sees("meters", "Viewer")
	for _, path := range []string{
		"/", "/products/meters", "/products/meters/devices/m1", "/licenses", "/billing", "/operations",
	} {
		p.navigate(path)
		p.settles()
		p.seesNot("others", "o1")
		names := eval[[]string](p, "person.names('main button')")
		for _, forbidden := range []string{
			"Credit licences", "Credit a top-up", "Upgrade the plan", "Suspend", "Take back", "Erase the log",
			"Make a token", "Delete", "Seal a snapshot", "Change",
		} {
			if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, forbidden) }) {
				p.t.Errorf("%s offers %q", path, forbidden)
			}
		}
	}
	p.allow("404")
	p.navigate("/products/others")
	p.sees("There is no such product, or this token does not see it.")
}

// escapes shows texts of devices and people as they are: no element is made of them.
func (p *tab) escapes() {
	p.d.must("POST", "/v1/products", fmt.Sprintf(`{"product":"hostile","account":"meters","name":%q}`, hostile), nil)
	p.d.hook("hostile", "https://example.com/?q=<img/src=x>", nil, "product.licenses_dry")
	p.open("/", p.d.token)
	for path, text := range map[string]string{
		"/": hostile, "/products/hostile": hostile, "/products/meters/devices/m1": hostile, "/operations": "img/src=x",
	} {
		p.navigate(path)
		p.settles()
		p.sees(text)
		if strings.HasSuffix(path, "m1") {
			p.until("one can open the message", `!document.querySelectorAll('#log tbody button')[0].click()`)
			p.until("a dialog is open", isAsking)
			p.sees(hostile)
		}
		made := eval[[]string](p, `[...document.querySelectorAll(
			'img, iframe, object, body script, #hostile, [onerror], [onclick], [onload]')].map((e) => e.outerHTML)`)
		if len(made) > 0 {
			p.t.Errorf("%s holds %q", path, made)
		}
	}
}

// filters lists licences by device, and saves what it shows.
func (p *tab) filters() {
	p.open("/licenses?product=meters", p.d.token)
	rows := "document.querySelectorAll('main tbody tr').length"
	p.until("all licences are listed", rows+" >= 2")
	p.fill("Device", "m2")
	p.until("one licence is listed", rows+" === 1")
	p.sees("m2")
	csv := p.d.ask("GET", "/v1/products/meters/licenses?device=m2", "", "Accept", "text/csv")
	if got := p.saves("Save as CSV"); !bytes.Equal(got, csv.body) || strings.Count(string(got), "\n") != 2 {
		p.t.Errorf("saved %q, the API answers %q", got, csv.body)
	}
	p.press("Clear the filters")
	p.until("all licences are listed", rows+" >= 2")
}

// seals a snapshot, sees its check sums, and saves a file that has them.
func (p *tab) seals() {
	p.open("/billing", p.d.token)
	p.opens("Seal a snapshot")
	p.sees("It cannot be changed or deleted by anybody afterwards")
	p.press("Seal a snapshot")
	p.sees("is sealed, with")
	type file struct{ Name, SHA256 string }
	list := pages[struct {
		ID, SHA256 string
		Files      []file
	}](p.d, "/v1/snapshots", "snapshots")
	if len(list) != 1 {
		p.t.Fatalf("snapshots: %+v", list)
	}
	sealed := list[0]
	p.opens(sealed.ID)
	p.sees(sealed.SHA256)
	for _, f := range sealed.Files {
		p.sees(f.Name, f.SHA256)
	}
	saved := p.saves("Download: devices.csv")
	if want := p.d.ask("GET", "/v1/snapshots/"+sealed.ID+"/devices.csv", "").body; !bytes.Equal(saved, want) {
		p.t.Errorf("saved %q, the API answers %q", saved, want)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(saved))
	if !slices.Contains(sealed.Files, file{"devices.csv", sum}) {
		p.t.Errorf("what was saved has the check sum %s, not that of %+v", sum, sealed.Files)
	}
}

// grants makes a token, which is shown once, and deletes it.
func (p *tab) grants() {
	p.open("/operations", p.d.token)
	p.opens("Make a token")
	p.fill("Name", "ci")
	p.press("Make a token")
	p.sees("Copy it now: it is shown this once.")
	secret := eval[string](p, "document.querySelector('dialog[open] code').innerText")
	if a := p.d.ask(
		"GET",
		"/v1/whoami",
		"",
		"Authorization",
		"Bearer "+secret,
	); !strings.Contains(
		string(a.body),
		`"viewer"`,
	) {
		p.t.Errorf("the new token: %d %s", a.status, a.body)
	}
	p.press("Close")
	p.until("the dialog is closed", "!"+isAsking)
	if kept := eval[string](p, "document.documentElement.outerHTML"); strings.Contains(kept, secret) {
		p.t.Error("the page keeps the secret of the new token")
	}
	p.opens("Delete: ci")
	p.sees("Requests with it are refused from then on")
	p.press("Delete")
	p.sees("The token ci is deleted.")
	p.until("it is not listed any more", "!person.has('Delete: ci')")
	p.d.ask("GET", "/v1/whoami", "", "Authorization", "Bearer "+secret).refuse(p.t, 401, "unauthorized")
}

// saves presses a button that saves a file, and returns what the browser has saved.
func (p *tab) saves(name string) []byte {
	p.t.Helper()
	dir := p.t.TempDir()
	if _, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
		BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	}); err != nil {
		p.t.Fatal(err)
	}
	p.press(name)
	var saved []byte
	await(p.t, name+" has saved a file", func() bool {
		// While it is written it has another name.
		files, err := filepath.Glob(filepath.Join(dir, "[^.]*[^d]"))
		if err != nil || len(files) != 1 {
			return false
		}
		saved, err = os.ReadFile(files[0])
		return err == nil
	})
	return saved
}

// types signs in and buys with the keyboard alone.
func (p *tab) types() {
	p.d.withProduct("keys", `{}`)
	p.navigate("/products/keys")
	p.until("the field has the focus", "person.focused() === 'Token'")
	p.keys(p.d.token)
	p.keys(kb.Enter)
	p.settles()
	p.tabTo("Credit licences")
	p.keys(kb.Enter)
	p.until("the first field has the focus", "person.focused() === 'Order number'")
	p.keys("PO-9")
	p.tabTo("Number of licences")
	p.keys("12")
	p.tabTo("Credit licences")
	p.keys(" ")
	p.sees("Order PO-9 holds 12 licences.")
	if v := p.d.product("keys"); v.Licenses.Total != 12 {
		p.t.Errorf("the product has %+v", v.Licenses)
	}
	p.until("the focus is where it was", "person.focused() === 'Credit licences'")
	p.keys(kb.Enter)
	p.until("the dialog is open", isAsking)
	p.keys(kb.Escape)
	p.until("the dialog is closed", "!"+isAsking)
}

// tabTo presses Tab until the control with a name has the focus, at most as often as a page has controls.
func (p *tab) tabTo(name string) {
	p.t.Helper()
	var passed []string
	for range 100 {
		p.keys(kb.Tab)
		focused := eval[string](p, "person.focused()")
		if focused == name {
			return
		}
		passed = append(passed, focused)
	}
	p.t.Fatalf("Tab does not lead to %q: %q", name, passed)
}
