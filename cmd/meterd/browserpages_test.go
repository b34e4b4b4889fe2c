package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// hostile is a text that makes elements and runs scripts where it is taken for HTML.
const hostile = `"><img src=x onerror=alert(1)><script>alert(2)</script><b id=hostile>`

// furnished returns a daemon with something to see on each page.
func furnished(t *testing.T) *daemon {
	t.Helper()
	d := withHistory(t)
	d.start()
	await(t, "the history is there", d.historyUp)
	d.withProduct("meters", `{"messages_per_day":5,"ota_per_month":2,"log_days":7}`)
	d.withProduct("others", `{}`)
	d.credit("meters", "PO-1", 50)
	d.topup("meters", "PACK-1", 9)
	d.batch(
		line("connect", "meters", "m1"),
		fmt.Sprintf(`{"type":"up","product":"meters","device":"m1","topic":%q,"payload":%q}`, hostile, hostile),
		line("connect", "meters", "m2"),
		line("connect", "others", "o1"),
	)
	d.batch(repeat(8, line("up", "meters", "m2"))...)
	d.batch(line("up", "meters", "m3")) // It is not activated.
	return d
}

// look is a page, and what must be seen on it.
type look struct {
	path    string
	en, zh  string // its title
	figures []string
}

func looks() []look {
	return []look{
		{"/", "Overview", "首页", []string{"meters", "others"}},
		{"/products/meters", "meters", "meters", []string{"PO-1", "PACK-1", "m1", "m2"}},
		{"/products/meters/devices/m1", "m1", "m1", []string{"5"}},
		{"/licenses", "Licences", "激活码管理", []string{"m1", "m2"}},
		{"/billing", "Usage and billing", "用量与计费", []string{"meters"}},
		{"/operations", "Operations", "运维", []string{"admin"}},
	}
}

// TestBrowser drives the console in a real browser: each part in a tab of its own, before one daemon.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a browser")
	}
	t.Parallel()
	d := furnished(t)
	browser := newBrowser(t)
	for _, part := range []struct {
		name string
		test func(*tab)
	}{
		{"pages", (*tab).pages},
		{"sign-in", (*tab).signs},
		{"kept page", (*tab).leaves},
		{"purchase", (*tab).buys},
		{"upgrade", (*tab).upgrades},
		{"denied", (*tab).explains},
		{"suspend", (*tab).suspends},
		{"live", (*tab).follows},
		{"bound", (*tab).binds},
		{"hostile", (*tab).escapes},
		{"licences", (*tab).filters},
		{"snapshot", (*tab).seals},
		{"token", (*tab).grants},
		{"keyboard", (*tab).types},
	} {
		t.Run(part.name, func(t *testing.T) {
			d.t = t
			part.test(newTab(browser, t, d))
		})
		d.t = t
	}
}

// pages looks at each page.
func (p *tab) pages() {
	p.open("/", p.d.token)
	for _, look := range looks() {
		p.looks(look)
	}
}

// looks looks at a page in both languages and both themes, on a large window and a telephone.
func (p *tab) looks(at look) {
	axe, err := os.ReadFile("../../console/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		p.t.Fatalf("axe-core is not installed; run `make tools`: %v", err)
	}
	p.navigate(at.path)
	p.settles()
	eval[chromedp.Void](p, string(axe)+";0")
	for _, language := range []string{"en", "zh-CN"} {
		p.speak(language)
		title := map[string]string{"en": at.en, "zh-CN": at.zh}[language]
		p.until("the title is "+title, "document.querySelector('main h1').innerText === "+js(title))
		p.settles()
		p.sees(at.figures...)
		p.isWhole(at.path + " " + language)
	}
	p.speak("en")
	for _, theme := range []string{"Light", "Dark"} {
		p.choose("Colours", theme)
		p.isAccessible(at.path + " " + theme)
	}
	p.do(chromedp.EmulateViewport(375, 800))
	p.until(at.path+" fits a telephone", "document.documentElement.scrollWidth <= 375")
	p.isAccessible(at.path + " on a telephone")
	p.do(chromedp.EmulateViewport(1280, 2400))
}

// speak changes the language.
func (p *tab) speak(language string) {
	p.t.Helper()
	name := map[string]string{"en": "English", "zh-CN": "简体中文"}[language]
	p.until("one can choose "+name, fmt.Sprintf(
		"person.choose('Language', %[1]s) || person.choose('语言', %[1]s)", js(name)))
	p.until("the page is in "+name, "document.documentElement.lang === "+js(language))
}

// isWhole looks for values that were not there when a text was put together.
func (p *tab) isWhole(what string) {
	p.t.Helper()
	text := eval[string](p, "person.text()")
	for _, wrong := range []string{"undefined", "NaN", "[object", "Invalid Date"} {
		if strings.Contains(text, wrong) {
			p.t.Errorf("%s shows %q:\n%s", what, wrong, text)
		}
	}
}

// isAccessible has axe-core look at the page, and takes nothing serious.
func (p *tab) isAccessible(what string) {
	p.t.Helper()
	for _, finding := range eval[[]string](p, `axe.run({ resultTypes: ['violations'] }).then((all) => all.violations
		.filter((one) => ['serious', 'critical'].includes(one.impact))
		.map((one) => one.id + ': ' + one.nodes.map((at) => at.html + ': ' + at.failureSummary).join('\n')))`) {
		p.t.Errorf("%s: %s", what, finding)
	}
}
