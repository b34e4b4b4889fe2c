package log

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// transcript runs the commands of a testdata file against one log. Times are in seconds, a segment has 64 KiB.
type transcript struct {
	t       *testing.T
	path    string
	paths   []string // before a crash
	log     *Log
	groups  []*Group
	hasRoom bool
}

func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		tr := &transcript{t: t, path: filepath.Join(t.TempDir(), "commit"), hasRoom: true}
		t.Cleanup(func() {
			if tr.log != nil {
				tr.log.Close()
			}
		})
		datadriven.RunTest(t, file, func(_ *testing.T, d *datadriven.TestData) string {
			out, err := tr.run(d)
			if err != nil {
				out += "error: " + err.Error() + "\n"
			}
			for _, path := range append(tr.paths, tr.path) {
				out = strings.ReplaceAll(out, path, "COMMIT")
			}
			return strings.ReplaceAll(out, "00000000000000000", "…")
		})
	})
}

func (tr *transcript) run(d *datadriven.TestData) (out string, err error) {
	number := func(name string) (n int) {
		d.ScanArgs(tr.t, name, &n)
		return n
	}
	switch d.Cmd {
	case "open":
		return tr.open()
	case "close":
		return "", tr.log.Close()
	case "crash": // What is on disk now goes on under another name; the old log never gets to close.
		tr.paths = append(tr.paths, tr.path)
		tr.path = clone(tr.t, tr.path)
		return tr.open()
	case "append":
		return tr.append(number("n"), number("at"), number("bytes"))
	case "release":
		err := tr.log.Release(int64(number("now"))*1000, uint64(number("passed")))
		return fmt.Sprintf("first %d\n", tr.log.First()), err
	case "room":
		tr.hasRoom = d.HasArg("yes")
		return "", nil
	case "mark":
		setMark(tr.t, tr.path, uint64(number("seq")))
		return "", nil
	case "flip":
		flip(tr.t, segmentPath(tr.path, uint64(number("segment"))), int64(number("byte")))
		return "", nil
	case "remove":
		return "", os.Remove(segmentPath(tr.path, uint64(number("segment"))))
	case "ls":
		return tr.ls()
	case "replay":
		var list []uint64
		err := tr.log.Replay(uint64(number("from")), func(g *Group) error {
			list = append(list, g.Seq)
			return sameGroup(g, tr.groups[g.Seq-1])
		})
		return sequences(list), err
	case "back", "forward":
		return tr.read(d.Cmd == "back", uint64(number("at")), int64(number("from"))*1000, int64(number("to"))*1000)
	}
	return "", fmt.Errorf("unknown command %q", d.Cmd)
}

func (tr *transcript) open() (string, error) {
	o := Options{
		Path:         tr.path,
		SegmentBytes: testSegmentBytes,
		Retention:    70 * time.Second,
		Room:         func() bool { return tr.hasRoom },
	}
	l, err := Open(o)
	if err != nil {
		return "", err
	}
	tr.log = l
	last, lastMs, _ := l.Last()
	return fmt.Sprintf("first %d, last %d at %d\n", l.First(), last, lastMs/1000), nil
}

// append appends groups, one a second, and waits for what is prepared beside them.
func (tr *transcript) append(n, at, bytes int) (string, error) {
	for i := range n {
		last, _, _ := tr.log.Last()
		g := testGroup(last+1, int64(at+i)*1000, bytes)
		if err := tr.log.Append(g); err != nil {
			return "", err
		}
		tr.log.wg.Wait()
		tr.groups = append(tr.groups[:last], g)
	}
	last, lastMs, _ := tr.log.Last()
	return fmt.Sprintf("last %d at %d\n", last, lastMs/1000), nil
}

func (tr *transcript) read(back bool, at uint64, fromMs, toMs int64) (string, error) {
	read := tr.log.ReadForward
	if back {
		read = tr.log.ReadBack
	}
	var list []uint64
	var b Block
	err := read(context.Background(), at, fromMs, toMs, 50_000, &b)
	for i := range b.Groups {
		list = append(list, b.Groups[i].Seq)
		if err := sameGroup(&b.Groups[i], tr.groups[b.Groups[i].Seq-1]); err != nil {
			return "", err
		}
	}
	return sequences(list), err
}

func sequences(list []uint64) string {
	if len(list) == 0 {
		return "none\n"
	}
	return strings.Trim(fmt.Sprint(list), "[]") + "\n"
}

// ls lists the files as they are on disk, and what the header of each says.
func (tr *transcript) ls() (string, error) {
	var out strings.Builder
	for _, name := range names(tr.t, tr.path) {
		number, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		f, err := os.Open(filepath.Join(tr.path, name))
		if err != nil {
			return "", err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return "", err
		}
		page, err := readBegun(f, number)
		if err != nil {
			return "", err
		}
		says := fmt.Sprintf("from group %d on", page.first)
		var h header
		b := make([]byte, headerBytes)
		if _, err := f.ReadAt(b, 0); !page.is && (err != nil || h.decode(b) != nil) {
			says = "prepared"
		} else if !page.is {
			says = fmt.Sprintf("prepared, was segment %d", h.number)
		}
		fmt.Fprintf(&out, "%s: %d KiB, %s\n", name, info.Size()>>10, says)
	}
	return out.String(), nil
}
