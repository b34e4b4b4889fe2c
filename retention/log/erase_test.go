package log

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// secret is what groups of tests hold that are erased: no group has it by chance.
var secret = []byte("\x01\xfe what a device has said \xfd\x02")

// secretGroup is a group whose chunk has the secret at its beginning and at its end.
func secretGroup(seq uint64, chunkBytes int) *Group {
	g := testGroup(seq, int64(seq)*1000, chunkBytes)
	copy(g.Chunks[0], secret)
	copy(g.Chunks[0][chunkBytes-len(secret):], secret)
	return g
}

// holding returns the files of a log that have the secret somewhere, whatever the log thinks that it has.
func holding(t testing.TB, path string) (list []string) {
	t.Helper()
	for _, name := range names(t, path) {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, secret) {
			list = append(list, name)
		}
	}
	return list
}

// secretLog is a log that has written the secret into every file that it uses over and over: the closed segments, the
// open one in front of its end and behind it, the prepared ones.
func secretLog(t testing.TB) *Log {
	l, _ := newLog(t, 0)
	l.opts.Archived = true
	for last := uint64(0); last < 300; last += 3 {
		appendSecrets(t, l, 3)
		if err := l.Release(1, max(last, 12)-12); err != nil {
			t.Fatal(err)
		}
		if !l.segments[len(l.segments)-1].isNew && len(l.spares) > 0 && !l.spares[0].isNew {
			return l
		}
	}
	t.Fatal("no file is used again")
	return l
}

func appendSecrets(t testing.TB, l *Log, n int) {
	t.Helper()
	for range n {
		last, _, _ := l.Last()
		if err := l.Append(secretGroup(last+1, 13_000)); err != nil {
			t.Fatal(err)
		}
		l.wg.Wait()
	}
}

// TestEraseLeavesNoByte: when Erased says so, no file has a byte of the groups, although files are used again and hold
// what they had before. Groups that come later are whole.
func TestEraseLeavesNoByte(t *testing.T) {
	reopen := func(t *testing.T, l *Log) *Log {
		t.Helper()
		o := l.opts
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return openLog(t, o)
	}
	for name, prepare := range map[string]func(t *testing.T, l *Log) *Log{
		"running":     func(_ *testing.T, l *Log) *Log { return l },
		"restarted":   reopen,
		"begun empty": func(t *testing.T, l *Log) *Log { endByAge(t, l); return l },
		"restarted, begun empty": func(t *testing.T, l *Log) *Log {
			endByAge(t, l)
			return reopen(t, l)
		},
		"killed after Erase": func(t *testing.T, l *Log) *Log {
			if _, err := l.Erase(); err != nil {
				t.Fatal(err)
			}
			return reopen(t, l)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := prepare(t, secretLog(t))
			files := len(holding(t, l.opts.Path))
			last, _, chain := l.Last()
			through, err := l.Erase()
			if err != nil || through != last {
				t.Fatalf("through group %d of %d, %v", through, last, err)
			}
			if l.Erased(through) && name != "restarted, begun empty" && name != "begun empty" {
				t.Error("the segments are there")
			}
			// What comes now is not erased, and is in new files alone.
			groups := make([]*Group, last)
			for range 30 {
				groups = append(groups, appendGroups(t, l, 1, 9_000)...)
				l.wg.Wait()
			}
			if err := l.Release(1, last-1); err != nil {
				t.Fatal(err)
			}
			if l.First() <= last && l.Erased(through) {
				t.Error("a view has not passed the last group, and it is erased")
			}
			if err := l.Release(1, last+20); err != nil {
				t.Fatal(err)
			}
			if !l.Erased(through) {
				t.Fatal("it is not erased")
			}
			if left := holding(t, l.opts.Path); len(left) > 0 || files == 0 {
				t.Errorf("of %d files these have it still: %q", files, left)
			}
			if first := l.First(); first > last+21 {
				t.Errorf("the log begins with group %d", first)
			}
			readAll(t, l, l.First(), groups)
			if first := l.First(); first == last+1 {
				if got, err := l.ChainOf(last); err != nil || got != chain {
					t.Errorf("the chain behind group %d: %v", last, err)
				}
			}
			// Files are used again from now on.
			groups = append(groups, appendGroups(t, l, 20, 9_000)...)
			if err := l.Release(1, uint64(len(groups))); err != nil {
				t.Fatal(err)
			}
			used := 0
			for _, s := range l.spares {
				if !s.isNew {
					used++
				}
			}
			if used == 0 {
				t.Error("no released segment is kept for its blocks")
			}
			readAll(t, reopen(t, l), l.First(), groups)
		})
	}
}

// endByAge has the next segment, a file that was used before, begun without a group.
func endByAge(t *testing.T, l *Log) {
	t.Helper()
	l.opts.Retention = 7 * time.Second
	if err := l.Release(1<<40, 0); err != nil {
		t.Fatal(err)
	}
	l.opts.Retention = time.Hour
	if s := l.segments[len(l.segments)-1]; !s.isEmpty() || s.isNew {
		t.Fatalf("the open segment has groups, or is new: %+v", s)
	}
}

// TestEraseBesideAppends: groups that come while files are taken away and the open segment is scrubbed are whole.
func TestEraseBesideAppends(t *testing.T) {
	l := secretLog(t)
	endByAge(t, l)
	last, _, _ := l.Last()
	first := last + 1
	groups := make([]*Group, last)
	done := make(chan error, 1)
	go func() {
		for range 20 {
			through, err := l.Erase()
			if err == nil {
				err = l.Release(1, through)
			}
			if err == nil {
				l.Erased(through)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 200 {
		groups = append(groups, appendGroups(t, l, 1, 3_000)...)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	through, err := l.Erase()
	if err != nil {
		t.Fatal(err)
	}
	if l.Release(1, through) != nil || !l.Erased(through) || len(holding(t, l.opts.Path)) > 0 {
		t.Errorf("groups %d to %d: left in %q", first, through, holding(t, l.opts.Path))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, l.opts)
	if last, _, _ := l.Last(); last != uint64(len(groups)) {
		t.Errorf("the log ends with group %d of %d", last, len(groups))
	}
}
