package main_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// logOfSegments makes a data directory whose log has at least four begun segments, all of which a start replays. It
// returns a copy from before the last groups, too.
func logOfSegments(t *testing.T) (before, after string) {
	t.Helper()
	for range 5 {
		if before, after = triedSegments(t); before != "" {
			return before, after
		}
	}
	t.Fatal("the first segment is released although nothing is archived, or this machine is too slow")
	return "", ""
}

// triedSegments returns what logOfSegments does, or nothing if the machine was so slow that the first segment was
// archived and released before it was held.
func triedSegments(t *testing.T) (before, after string) {
	t.Helper()
	d := badDaemon(t, "--checkpoint-every", "1h", "--log-retention", "14s") // A segment spans a seventh of it.
	d.holdSegments()
	dice := newDice(1, 0)
	d.withProduct("big", `{"messages_per_day":null}`)
	d.batch(line("connect", "big", "d1"))
	payload := make([]byte, 2<<10) // Random: it does not shrink when it is compressed.
	await(t, "the log has four segments", func() bool {
		var lines []string // A group over 16 KiB: however slow the machine is, the third page of each segment has some of it.
		for range 9 {
			for at := range payload {
				payload[at] = byte(dice.Uint32())
			}
			lines = append(lines, fmt.Sprintf(`{"type":"up","product":"big","device":"d1","payload_base64":"%s"}`,
				base64.StdEncoding.EncodeToString(payload)))
		}
		for _, code := range d.batch(lines...) {
			if code != "accepted" {
				t.Fatalf("a message is %s: its payload is not logged", code)
			}
		}
		return d.begun() >= 4
	})
	d.kill()
	if _, err := os.Stat(filepath.Join(d.data, "log", segmentName(1))); errors.Is(err, os.ErrNotExist) {
		return "", ""
	}
	before = copyOf(t, d.data)
	d.flags = []string{"--checkpoint-every", "1h"} // The segment does not end by its age: what comes now is in it.
	d.start()
	d.batch(line("up", "p1", "d1"))
	d.kill()
	for _, data := range []string{before, d.data} {
		if err := os.Remove(filepath.Join(data, "BALLAST")); err != nil { // It is made again, and makes copies slow.
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(data, "checkpoint")); err != nil { // So that a start needs all of the log.
			t.Fatal(err)
		}
	}
	return before, d.data
}

// holdSegments has the archive fail, so that no segment is released: the directories that it would make are files. On a
// slow machine it has made some already.
func (d *daemon) holdSegments() {
	d.t.Helper()
	for n := range 100 {
		err := os.WriteFile(filepath.Join(d.data, "archive", fmt.Sprintf("run-%d", n)), nil, 0o600)
		if err != nil && !errors.Is(err, syscall.EISDIR) {
			d.t.Fatal(err)
		}
	}
}

// begun counts the segments that were begun: their first bytes are a header, and a prepared file begins with zeroes.
func (d *daemon) begun() (n int) {
	d.t.Helper()
	names, err := filepath.Glob(filepath.Join(d.data, "log", "segment-*"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			d.t.Fatal(err)
		}
		b := make([]byte, 1)
		if _, err := f.Read(b); err == nil && b[0] != 0 {
			n++
		}
		if err := f.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	return n
}

func segmentName(n int) string { return fmt.Sprintf("segment-%020d", n) }

// TestDamagedSegments: of a log of several segments, all of which are replayed, something in the middle is not what was
// written, is missing, or is older than the rest. The daemon refuses to start and names the file.
func TestDamagedSegments(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills segments of the log, and copies them")
	}
	t.Parallel()
	before, after := logOfSegments(t)
	whole := daemonAt(t, copyOf(t, after))
	whole.start()
	whole.kill()
	last := (&daemon{t: t, data: after}).begun()
	for _, c := range []struct {
		name string
		harm func(log string) error
		says string
	}{
		{
			"a flipped byte in the middle", func(log string) error { return flipMiddle(filepath.Join(log, segmentName(2))) },
			segmentName(2),
		},
		{"a header in the middle", func(log string) error {
			return blank(filepath.Join(log, segmentName(2)), 0, 4096)
		}, segmentName(2)},
		{"a page in the middle that is lost", func(log string) error {
			return blank(filepath.Join(log, segmentName(3)), 8192, 4096)
		}, segmentName(3)},
		{"the end of a middle one is lost", func(log string) error {
			return os.Truncate(filepath.Join(log, segmentName(2)), 8192)
		}, segmentName(2)},
		{
			"a middle one is missing", func(log string) error { return os.Remove(filepath.Join(log, segmentName(2))) },
			segmentName(2),
		},
		{"the first one is missing", func(log string) error { return os.Remove(filepath.Join(log, segmentName(1))) }, "log"},
		{"the newest one is missing", func(log string) error {
			for n := last; ; n++ { // With what is prepared behind it.
				if err := os.Remove(filepath.Join(log, segmentName(n))); err != nil {
					return nil
				}
			}
		}, "log"},
		{"two were swapped", func(log string) error {
			a, b := filepath.Join(log, segmentName(2)), filepath.Join(log, segmentName(3))
			return rename(a, a+"x", b, a, a+"x", b)
		}, "log"},
		{"the newest one is an older copy", func(log string) error {
			return copyFile(filepath.Join(before, "log", segmentName(last)), filepath.Join(log, segmentName(last)))
		}, segmentName(last)},
		{"both copies of the mark", func(log string) error {
			return blank(filepath.Join(log, "MARK"), 0, 8192)
		}, "MARK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copyOf(t, after)
			if err := c.harm(filepath.Join(data, "log")); err != nil {
				t.Fatal(err)
			}
			want(t, daemonAt(t, data).refused(), filepath.Join(data, "log"), c.says, whatToDo)
		})
	}
}

// TestOneCopyOfTheMark: one of the two is what a cut may tear. The other one counts, the operator is told, and both are
// whole again.
func TestOneCopyOfTheMark(t *testing.T) {
	t.Parallel()
	killed, state := full(t, (*daemon).kill)
	for copyOfMark := range int64(2) {
		data := copyOf(t, killed.data)
		if err := blank(filepath.Join(data, "log", "MARK"), copyOfMark*4096, 20); err != nil {
			t.Fatal(err)
		}
		d := daemonAt(t, data)
		d.token = killed.token
		d.start()
		want(t, d.run.said(), "a copy of the mark is damaged", filepath.Join(data, "log", "MARK"))
		if got := d.state("p1"); got != state {
			t.Errorf("the state differs: %s", difference(state, got))
		}
		d.restart()
		if strings.Contains(d.run.said(), "a copy of the mark is damaged") {
			t.Errorf("the next start finds it damaged again:\n%s", d.run.said())
		}
	}
}

func blank(path string, at int64, bytes int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, bytes), at)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// rename renames in pairs: from, to.
func rename(names ...string) error {
	for i := 0; i < len(names); i += 2 {
		if err := os.Rename(names[i], names[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
