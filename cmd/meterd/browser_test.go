package main_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// person is what a test does in a page.
//
//go:embed testdata/browser.js
var person string

// newBrowser starts a browser for all tabs of a test; it ends with the test. Without one the test fails.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Fatalf("chromium-headless-shell is not installed; run `make tools` (package chromium-headless-shell): %v", err)
	}
	// It opens pages of ours alone, and its own sandbox works in few containers.
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("lang", "en"),
	))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// tab is a tab with storage of its own, before the pages of a daemon. What its console says fails the test, and so does
// a request to anybody else.
type tab struct {
	t       *testing.T
	browser context.Context
	ctx     context.Context
	d       *daemon

	mu      sync.Mutex
	said    []string        // to the browser's console
	foreign []string        // addresses of others that were asked for
	allowed map[string]bool // parts of what may be said; true: it was
}

// newTab opens a tab of a large window.
func newTab(browser context.Context, t *testing.T, d *daemon) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p := &tab{t: t, browser: browser, ctx: ctx, d: d, allowed: map[string]bool{}}
	t.Cleanup(func() {
		p.check()
		cancel()
	})
	p.do(chromedp.EmulateViewport(1280, 2400))
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: person})
	return p
}

// hear notes what the browser tells of the tab.
func (p *tab) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, arg := range ev.Args {
			words = append(words, arg.Description+string(arg.Value))
		}
		p.said = append(p.said, fmt.Sprintf("%s: %s", ev.Type, strings.Join(words, " ")))
	case *runtime.EventExceptionThrown:
		p.said = append(p.said, "exception: "+(&chromedp.ExceptionError{ExceptionDetails: ev.ExceptionDetails}).Error())
	case *log.EventEntryAdded:
		p.said = append(p.said, fmt.Sprintf("%s: %s %s", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL))
	case *network.EventRequestWillBeSent:
		// What the browser draws its own controls with is data; the policy forbids it to pages.
		if u := ev.Request.URL; !strings.HasPrefix(u, "http://"+p.d.run.address+"/") && !strings.HasPrefix(u, "data:") {
			p.foreign = append(p.foreign, u)
		}
	}
}

// allow takes a line of the console that a test provokes: the status of an answer. It must come.
func (p *tab) allow(status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed["with a status of "+status] = false
}

// check fails the test for what no page may do.
func (p *tab) check() {
	p.t.Helper()
	text := eval[string](p, `globalThis.person?.text() ?? ''`) // What was said before it has arrived.
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, said := range p.said {
		if !p.takes(said) {
			p.t.Errorf("the browser's console says: %s", said)
		}
	}
	for part, came := range p.allowed {
		if !came {
			p.t.Errorf("the browser's console does not say %q", part)
		}
	}
	for _, u := range p.foreign {
		p.t.Errorf("the page asks for %s", u)
	}
	if p.t.Failed() {
		p.t.Logf("the page shows:\n%s", text)
	}
}

// takes reports whether what the console says is allowed. p.mu is held.
func (p *tab) takes(said string) bool {
	for part := range p.allowed {
		if strings.Contains(said, part) {
			p.allowed[part] = true
			return true
		}
	}
	return false
}

// do runs an action, which must succeed.
func (p *tab) do(action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, action); err != nil {
		p.t.Fatal(err)
	}
}

// call makes a call of the browser's protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, command, params); err != nil {
		p.t.Fatalf("%s: %v", command.Method, err)
	}
}

// eval evaluates an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// js is a text as JavaScript writes it.
func js(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // No text is unfit.
	}
	return string(quoted)
}

// until waits until a condition holds in the page, which may be on its way to another one meanwhile.
func (p *tab) until(what, condition string) {
	p.t.Helper()
	var last error
	defer func() {
		if last != nil {
			p.t.Logf("%s: %v", condition, last)
		}
	}()
	await(p.t, what, func() bool {
		v, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](condition))
		last = err
		return err == nil && v
	})
}

// sees waits until the page, or the dialog over it, shows each text.
func (p *tab) sees(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until("the page shows "+text, "person.sees("+js(text)+")")
	}
}

// seesNot waits until the page does not show any of the texts.
func (p *tab) seesNot(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until("the page does not show "+text, "!person.sees("+js(text)+")")
	}
}

// press presses a button, link or switch by its name.
func (p *tab) press(name string) {
	p.t.Helper()
	p.until("one can press "+name, "person.press("+js(name)+")")
}

// isAsking says whether a dialog is over the page.
const isAsking = "!!document.querySelector('dialog[open]')"

// opens presses what opens a dialog.
func (p *tab) opens(name string) {
	p.t.Helper()
	p.press(name)
	p.until(name+" opens a dialog", isAsking)
}

// fill types into a field that has a label, in place of what it holds.
func (p *tab) fill(label, text string) {
	p.t.Helper()
	p.until("there is a field "+label, "person.focus("+js(label)+")")
	p.write(text)
}

// write types into what has the focus.
func (p *tab) write(text string) {
	p.t.Helper()
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

// choose chooses an option of a select that has a label.
func (p *tab) choose(label, option string) {
	p.t.Helper()
	p.until("one can choose "+option, "person.choose("+js(label)+","+js(option)+")")
}

// keys presses keys, as package kb names them.
func (p *tab) keys(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// navigate goes to an address of the daemon.
func (p *tab) navigate(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate("http://" + p.d.run.address + path))
}

// open goes to an address and signs in with a token.
func (p *tab) open(path, token string) {
	p.t.Helper()
	p.navigate(path)
	p.fill("Token", token)
	p.keys(kb.Enter)
	p.settles()
}

// settles waits until all parts of the page have their answers, and says which have failed.
func (p *tab) settles() {
	p.t.Helper()
	p.until("the page is there", "person.isSettled()")
	if failed := eval[[]string](p, `person.names('.state-failed')`); len(failed) > 0 {
		p.t.Errorf("parts of the page have failed: %q", failed)
	}
}
