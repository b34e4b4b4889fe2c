package retention

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// testGroup is a group whose content follows from its sequence, so that a test knows it again.
func testGroup(seq uint64, firstMs, lastMs int64, chunkBytes ...int) *Group {
	g := &Group{
		Seq:        seq,
		ControlSeq: seq / 10,
		FirstMs:    firstMs,
		LastMs:     lastMs,
		Head:       fmt.Appendf(nil, "head of %d", seq),
	}
	rng := rand.New(rand.NewPCG(seq, 7))
	for _, n := range chunkBytes {
		c := make([]byte, n)
		for i := range c {
			c[i] = byte(rng.Uint32())
		}
		g.Chunks = append(g.Chunks, c)
	}
	return g
}

// sameGroup reports the first difference of two groups.
func sameGroup(got, want *Group) error {
	if got.Seq != want.Seq || got.ControlSeq != want.ControlSeq || got.FirstMs != want.FirstMs ||
		got.LastMs != want.LastMs {
		return fmt.Errorf("group %d/%d of %d..%d, want %d/%d of %d..%d", got.Seq, got.ControlSeq, got.FirstMs, got.LastMs,
			want.Seq, want.ControlSeq, want.FirstMs, want.LastMs)
	}
	if string(got.Head) != string(want.Head) || len(got.Chunks) != len(want.Chunks) {
		return fmt.Errorf(
			"group %d: head %q and %d chunks, want %q and %d",
			got.Seq,
			got.Head,
			len(got.Chunks),
			want.Head,
			len(want.Chunks),
		)
	}
	for i := range got.Chunks {
		if string(got.Chunks[i]) != string(want.Chunks[i]) {
			return fmt.Errorf("group %d: chunk %d differs", got.Seq, i)
		}
	}
	return nil
}

// settle waits until a directory that is being opened ahead is open.
func (l *Log) settle() { l.wg.Wait() }

// transcript runs the commands of a testdata file against one log. Times are in seconds.
type transcript struct {
	t    *testing.T
	path string
	opts LogOptions
	log  *Log
	said map[uint64]*Group
}

func TestLogTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/log", func(t *testing.T, file string) {
		tr := &transcript{t: t, path: filepath.Join(t.TempDir(), "commit"), said: map[uint64]*Group{}}
		t.Cleanup(func() {
			if tr.log != nil {
				tr.log.Close()
			}
		})
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			out, err := tr.run(d)
			if err != nil {
				out += "error: " + err.Error() + "\n"
			}
			return strings.ReplaceAll(out, tr.path, "COMMIT")
		})
	})
}

func (tr *transcript) run(d *datadriven.TestData) (out string, err error) {
	switch d.Cmd {
	case "open":
		return tr.open(d)
	case "close":
		err = tr.log.Close()
		tr.log = nil
		return "", err
	case "crash": // What is on disk now goes on under another name; the old log never gets to close.
		tr.log.pool.wg.Wait() // A directory that is being closed loses files while it is copied.
		tr.path = clone(tr.t, tr.path)
		return tr.open(d)
	case "append":
		return tr.append(d)
	case "replay":
		return tr.replay(d)
	case "scan":
		return tr.scan(d)
	case "drop":
		var now, passed int64
		d.ScanArgs(tr.t, "now", &now)
		d.ScanArgs(tr.t, "passed", &passed)
		return "", tr.log.Drop(now*1000, uint64(passed))
	case "ls":
		tr.log.pool.wg.Wait() // Closing goes on in the background.
		return tr.ls()
	case "rename":
		return "", os.Rename(filepath.Join(tr.path, d.CmdArgs[0].Key), filepath.Join(tr.path, d.CmdArgs[1].Key))
	case "remove":
		return "", os.RemoveAll(filepath.Join(tr.path, d.CmdArgs[0].Key))
	}
	return "", fmt.Errorf("unknown command %q", d.Cmd)
}

func (tr *transcript) open(d *datadriven.TestData) (string, error) {
	if d.HasArg("retention") {
		var retention, span int
		d.ScanArgs(tr.t, "retention", &retention)
		d.ScanArgs(tr.t, "span", &span)
		tr.opts = LogOptions{Retention: time.Duration(retention) * time.Second, Span: time.Duration(span) * time.Second}
	}
	tr.opts.Path = tr.path
	log, err := OpenLog(tr.opts)
	if err != nil {
		return "", err
	}
	tr.log = log
	seq, lastMs := log.Last()
	return fmt.Sprintf("first %d, last %d at %d\n", log.First(), seq, lastMs/1000), nil
}

// append appends groups, one a second; each directory that becomes due is open when the next group comes.
func (tr *transcript) append(d *datadriven.TestData) (string, error) {
	var seq, n, at int
	n = 1
	d.ScanArgs(tr.t, "seq", &seq)
	d.MaybeScanArgs(tr.t, "n", &n)
	d.ScanArgs(tr.t, "at", &at)
	for i := range n {
		ms := int64(at+i) * 1000
		g := testGroup(uint64(seq+i), ms, ms+500, 200, 3000)
		if err := tr.log.Append(g); err != nil {
			return "", err
		}
		tr.said[g.Seq] = g
		tr.log.settle()
	}
	last, lastMs := tr.log.Last()
	return fmt.Sprintf("last %d at %d\n", last, lastMs/1000), nil
}

func (tr *transcript) replay(d *datadriven.TestData) (string, error) {
	var from int
	d.ScanArgs(tr.t, "from", &from)
	var out []string
	err := tr.log.Replay(uint64(from), func(g *Group) error {
		out = append(out, fmt.Sprint(g.Seq))
		return sameGroup(g, tr.said[g.Seq])
	})
	return list(out), err
}

func (tr *transcript) scan(d *datadriven.TestData) (string, error) {
	var from, to, limit int
	limit = -1
	d.ScanArgs(tr.t, "from", &from)
	d.ScanArgs(tr.t, "to", &to)
	d.MaybeScanArgs(tr.t, "limit", &limit)
	var out []string
	err := tr.log.Scan(
		context.Background(),
		int64(from)*1000,
		int64(to)*1000,
		d.HasArg("newest"),
		func(g *Group) (bool, error) {
			if g.Chunks != nil {
				return false, fmt.Errorf("group %d came with chunks", g.Seq)
			}
			if err := g.Load(); err != nil {
				return false, err
			}
			out = append(out, fmt.Sprint(g.Seq))
			return len(out) != limit, sameGroup(g, tr.said[g.Seq])
		},
	)
	return list(out), err
}

func list(groups []string) string {
	if len(groups) == 0 {
		return "none\n"
	}
	return strings.Join(groups, " ") + "\n"
}

// ls lists the directories and, of closed ones, what they hold.
func (tr *transcript) ls() (string, error) {
	spans, err := listSpans(tr.path)
	var out strings.Builder
	for _, s := range spans {
		b, sealed, err := readBoundsFile(s.path, sealName, sealTitle)
		if err != nil {
			return "", err
		}
		if sealed {
			fmt.Fprintf(&out, "%s: groups %d to %d\n", filepath.Base(s.path), b.first, b.last)
		} else {
			fmt.Fprintf(&out, "%s: open\n", filepath.Base(s.path))
		}
	}
	return out.String(), err
}
