package history

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/usage/history/child"
)

// These tests run the real child in processes of the test's own binary.

const childVariable = "METERD_TEST_HISTORY_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var o ChildOptions
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			panic("BUG: " + err.Error())
		}
		err := child.Run(child.Options{
			Path: o.Path, Socket: o.Socket, Retention: o.Retention, Resolution: o.Resolution, StaleAfter: o.StaleAfter,
			CacheBytes: o.CacheBytes, FreeBytes: 1, ParentInput: os.Stdin, Stages: os.Stdout,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testStarter starts children of the test's binary.
type testStarter struct{ t testing.TB }

type testProcess struct {
	cmd           *exec.Cmd
	input         *os.File
	opened, ended chan struct{}
	err           error
	once          sync.Once
}

func (s testStarter) Start(o ChildOptions) (Process, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	p := &testProcess{input: writer, opened: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Env = o.Directory, reader, []string{childVariable + "=" + string(text)}
	stages, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		line := make([]byte, len(child.StageOpen))
		if n, _ := stages.Read(line); string(line[:n]) == child.StageOpen {
			close(p.opened)
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *testProcess) Opened() <-chan struct{} { return p.opened }
func (p *testProcess) Ended() <-chan struct{}  { return p.ended }
func (p *testProcess) Err() error              { return p.err }
func (p *testProcess) Faulted() bool           { return p.cmd.ProcessState.ExitCode() > 0 }
func (p *testProcess) PID() int                { return p.cmd.Process.Pid }
func (p *testProcess) End()                    { p.once.Do(func() { _ = p.input.Close() }) }
func (p *testProcess) Kill()                   { _ = p.cmd.Process.Kill() }

// startStores returns a History on real children that nothing writes to, when they are up.
func startStores(t testing.TB, directory string) *History {
	t.Helper()
	h := openStores(t, directory)
	await(t, "both children are up", func() bool {
		return h.supervisors[0].up.Load() && h.supervisors[1].up.Load()
	})
	return h
}

// openStores starts the children, and closes them with the test.
func openStores(t testing.TB, directory string) *History {
	t.Helper()
	h := &History{
		o: Options{
			NowMs: func() int64 { return time.Now().UnixMilli() }, Retention: 9480 * time.Hour, Logger: quiet,
			Directory: directory, Starter: testStarter{t},
			Room: Room{Short: func() bool { return false }, Full: func() bool { return false }},
		},
		places: make(chan struct{}, queriesMax),
	}
	var err error
	h.files, err = openFiles(directory)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.supervise(ctx, "fine", fineFor, fineFor+fineKeptMore, time.Millisecond)
	h.supervise(ctx, "thin", h.o.Retention, h.o.Retention, refreshEvery)
	t.Cleanup(func() { _ = h.Close() }) // A test may have closed it.
	return h
}

// await waits for what nobody tells of. A child that hangs is killed after half a minute on a fast machine.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for ticker, end := time.NewTicker(20*time.Millisecond), time.After(10*time.Minute); ; {
		select {
		case <-ticker.C:
			if is() {
				return
			}
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// fill writes samples of two accounts, at aligned instants of the last hours.
func fillStores(t testing.TB, h *History, nowMs int64, hours int) {
	t.Helper()
	for _, tr := range h.tiers {
		var body []byte
		for k := int64(hours) * 360; k >= 0; k-- {
			at := nowMs - k*sampleEvery.Milliseconds()
			for i, p := range []Product{{Account: "acme", Name: "p"}, {Account: "other", Name: "secret"}} {
				value := uint64(1+i) * uint64(int64(hours)*360-k)
				body = appendSample(body, &p, kindUp, value, at)
				body = appendSample(body, &p, kindLicensesTotal, 10, at)
			}
		}
		body = appendFilled(body, 7, nowMs)
		must(t, tr.write(t.Context(), body, true))
	}
}

func ask(t testing.TB, h *History, q Query) string {
	t.Helper()
	answer, err := h.Query(t.Context(), q)
	must(t, err)
	return string(answer.Body)
}

func aligned(every time.Duration) int64 {
	return time.Now().UnixMilli() / every.Milliseconds() * every.Milliseconds()
}

// No query and no parameter shows anything of another account.
func TestEvasions(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	h := startStores(t, t.TempDir())
	nowMs := aligned(sampleEvery)
	fillStores(t, h, nowMs, 1)
	at := strconv.FormatInt(nowMs/1000, 10)
	from := strconv.FormatInt(nowMs/1000-600, 10)

	all := ask(t, h, Query{Path: "query", Form: form("query", `{__name__=~".+"}`, "time", at)})
	if !strings.Contains(all, "secret") || !strings.Contains(all, `"p"`) || strings.Contains(all, filledName) {
		t.Fatalf("a token of no account sees %s", all)
	}
	seen := 0
	check := func(q Query) {
		t.Helper()
		q.Account = "acme"
		q.Form.Add("extra_label", "account=other")
		q.Form.Add("extra_filters", `{account="other"}`)
		q.Form.Add("extra_filters[]", `{account="other"}`)
		body := ask(t, h, q)
		if strings.Contains(body, `"status":"error"`) {
			return // Its text repeats the query.
		}
		if strings.Contains(body, "secret") || strings.Contains(body, "other") {
			t.Errorf("%v shows %s", q, body)
		}
		if strings.Contains(body, "acme") {
			seen++
		}
		if strings.Contains(body, `"720"`) || strings.Contains(body, `"1080"`) {
			t.Errorf("%v shows another account's value, or a sum with it: %s", q, body)
		}
	}
	for _, text := range evasions {
		check(Query{Path: "query", Form: form("query", text, "time", at)})
		check(Query{Path: "query_range", Form: form("query", text, "start", from, "end", at, "step", "60")})
		check(Query{Path: "series", Form: form("match[]", text, "match[]", "meterd_licenses", "start", from)})
		check(Query{Path: "labels", Form: form("match[]", text, "start", from)})
		for _, label := range []string{"account", "product", "__name__"} {
			check(Query{Path: "values", Label: label, Form: form("match[]", text, "start", from)})
		}
	}
	check(Query{Path: "labels", Form: form()})
	check(Query{Path: "values", Label: "account", Form: form()})
	if seen < 30 {
		t.Errorf("the account itself was seen in %d answers only", seen)
	}
	sum := ask(t, h, Query{Path: "query", Form: form("query", "sum(meterd_messages_total)", "time", at), Account: "acme"})
	if !strings.Contains(sum, `"360"`) {
		t.Errorf("the sum of its own account is %s", sum)
	}
}

// The fine store has every sample. The thin one has the last sample of each five minutes, the running ones included.
func TestResolutions(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	h := startStores(t, t.TempDir())
	nowMs := aligned(sampleEvery)
	fillStores(t, h, nowMs, 2)
	at := strconv.FormatInt(nowMs/1000, 10)
	samples := func(tr *tier) (times []int64, last string) {
		values := url.Values{"query": {`meterd_messages_total{account="acme"}[2h]`}, "time": {at}}
		answer, err := tr.get(t.Context(), "query", values.Encode())
		must(t, err)
		var parsed struct {
			Data struct {
				Result []struct{ Values [][2]any }
			}
		}
		must(t, json.Unmarshal(answer.Body, &parsed))
		for _, v := range parsed.Data.Result[0].Values {
			times = append(times, int64(v[0].(float64)*1000))
			last, _ = v[1].(string)
		}
		return times, last
	}
	fine, last := samples(h.tiers[0])
	if len(fine) != 720 || last != "720" {
		t.Errorf("the fine store has %d samples, the last one is %s", len(fine), last)
	}
	thin, last := samples(h.tiers[1])
	if last != "720" || thin[len(thin)-1] != nowMs {
		t.Errorf("the thin store's last sample is %s", last)
	}
	for _, at := range thin[:len(thin)-1] {
		if at%refreshEvery.Milliseconds() != 0 {
			t.Errorf("the thin store has a sample at %d", at)
		}
	}
	if n := len(thin); n < 24 || n > 25 {
		t.Errorf("the thin store has %d samples of two hours", n)
	}
}

// A child that is killed or hangs comes back, and its store says how far it is filled.
func TestChildrenComeBack(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes, and waits for one that hangs")
	}
	directory := t.TempDir()
	h := startStores(t, directory)
	nowMs := aligned(sampleEvery)
	fillStores(t, h, nowMs, 1)
	s, tr := h.supervisors[1], h.tiers[1]
	end := func(signal syscall.Signal) {
		t.Helper()
		runs := s.runs.Load()
		must(t, syscall.Kill(int(s.pid.Load()), signal))
		await(t, "the child is up again", func() bool { return s.runs.Load() > runs && s.up.Load() })
	}
	filled := func() uint32 {
		t.Helper()
		n, err := tr.askFilled(t.Context(), nowMs)
		must(t, err)
		return n
	}
	if n := filled(); n != 7 {
		t.Fatalf("filled to %d", n)
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		end(signal)
		// The store has what was on the disk: all of it, or nothing that it could name. It says so, and is filled again.
		n := filled()
		if n == 0 {
			fillStores(t, h, nowMs, 1)
			n = filled()
		}
		if n != 7 {
			t.Fatalf("filled to %d after %s", n, signal)
		}
	}
}

// Files that a child cannot open are moved aside, and the store begins again with none.
func TestDamagedFilesAreMovedAside(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	directory := t.TempDir()
	h := startStores(t, directory)
	fillStores(t, h, aligned(sampleEvery), 1)
	must(t, h.Close())
	parts, err := filepath.Glob(filepath.Join(directory, "thin", "data", "*", "*", "*", "*.bin"))
	must(t, err)
	if len(parts) == 0 {
		t.Fatal("there is nothing to damage")
	}
	for _, name := range parts {
		must(t, os.WriteFile(name, []byte("damage"), 0o600))
	}
	h = openStores(t, directory)
	await(t, "the files are moved aside", func() bool {
		return h.supervisors[1].asides.Load() == 1 && h.supervisors[1].up.Load()
	})
	if n, err := h.tiers[1].askFilled(t.Context(), aligned(sampleEvery)); err != nil || n != 0 {
		t.Fatalf("filled to %d, %v", n, err)
	}
	if n, err := h.tiers[0].askFilled(t.Context(), aligned(sampleEvery)); err != nil || n != 7 {
		t.Fatalf("the other store is filled to %d, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(directory, "thin.damaged", "data")); err != nil {
		t.Fatal(err)
	}
}
