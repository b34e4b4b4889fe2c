package main_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// pictureMost bounds a picture of the README: it is in the repository, and loads with its page.
const pictureMost = 150 << 10

// TestScreenshots takes the pictures of the README, of a demo, into the directory that METERD_SCREENSHOTS names: for
// `make screenshots`.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("METERD_SCREENSHOTS")
	if dir == "" {
		t.Skip("make screenshots takes them")
	}
	d := withHistory(t, "--demo")
	d.start()
	await(t, "the demo is told", func() bool { return strings.Contains(d.run.stdout.String(), "by day:") })
	// The stores show what they were sent bit by bit.
	for query, points := range map[string]float64{
		`count_over_time((sum(rate(meterd_messages_total[1m])) > 0)[30m:1m])`:     28,
		`count_over_time((sum(increase(meterd_messages_total[1h])) > 0)[24h:1h])`: 23,
	} {
		await(t, "the week is in the history", func() bool {
			n, err := strconv.ParseFloat(d.value(query), 64)
			return err == nil && n >= points
		})
	}
	var denied struct{ Top []struct{ Device string } }
	d.must("GET", "/v1/products/smart-meter/devices/top?by=denied&limit=1", "", &denied)
	if len(denied.Top) == 0 {
		t.Fatal("the demo denied nothing")
	}
	p := newTab(newBrowser(t), t, d)
	p.open("/", d.token)
	p.choose("Colours", "Light")
	p.until("rates are known", `![...document.querySelectorAll('.stat-value')].some((e) => e.innerText === '–')`)
	p.picture(filepath.Join(dir, "console-overview.png"))
	p.navigate("/products/smart-meter/devices/" + denied.Top[0].Device)
	p.choose("Colours", "Dark")
	p.speak("zh-CN")
	p.picture(filepath.Join(dir, "console-device.png"))
}

// picture saves what the window shows.
func (p *tab) picture(name string) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(1280, 900))
	p.settles()
	// Charts are drawn with a frame.
	eval[int](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))`)
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if len(png) > pictureMost {
		p.t.Errorf("%s has %d bytes, more than %d", name, len(png), pictureMost)
	}
	if err := os.WriteFile(name, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
