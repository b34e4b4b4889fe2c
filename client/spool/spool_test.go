package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// open returns a spool in dir, or in memory, that fails the test when it finds a fault.
func open(t *testing.T, dir string) (*Spool, []*Batch) {
	t.Helper()
	s, left, err := Open(Options{
		Dir: dir, BytesMax: 1 << 20, EventsMax: 100, Producer: "gw-1", Fault: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, left
}

// text is what a batch holds, for a reader.
func text(t *testing.T, b *Batch) string {
	t.Helper()
	c, err := b.Read()
	if err != nil {
		t.Fatal(err)
	}
	if c.Seal != nil {
		return fmt.Sprintf("%d at %d: %s, %d, refused %v", c.Seal.Sequence, c.Seal.At.UnixMilli(), c.Seal.Body, c.Seal.Count,
			c.Seal.Refused)
	}
	return fmt.Sprintf("%d: %s", c.Count, bytes.Join(c.Events, []byte(",")))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var sealed = Seal{Sequence: 7, At: time.UnixMilli(1500), Count: 4, Refused: []int{0, 2}, Body: []byte("abcd")}

const sealedText = "7 at 1500: abcd, 4, refused [0 2]"

// Memory and disk hold the same; disk holds it for the next process, too.
func TestWhatIsKept(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "new", "spool")} {
		s, _ := open(t, dir)
		plain, held, anew, gone := s.Batch(s.Place()), s.Batch(s.Place()), s.Batch(s.Place()), s.Batch(s.Place())
		must(t, plain.Append([]byte("one"), 1))
		must(t, plain.Append([]byte("two"), 2))
		plain.Rest()
		must(t, plain.Append([]byte("three"), 3))
		must(t, held.Seal(sealed))
		must(t, anew.Append([]byte("x"), 3))
		must(t, anew.Seal(sealed))
		must(t, anew.Restart([]byte("y"), 1))
		must(t, anew.Seal(Seal{Sequence: 3, At: time.UnixMilli(-1), Count: 1, Body: []byte("y")}))
		must(t, gone.Append([]byte("gone"), 5))
		gone.Remove()
		want := []string{"3 at -1: y, 1, refused []", sealedText, "6: one,two,three"}
		for i, b := range []*Batch{anew, held, plain} {
			if got := text(t, b); got != want[i] {
				t.Errorf("%q, want %q", got, want[i])
			}
		}
		events, size := s.Held()
		if events != 6+2+1 || size != plain.length+held.length+anew.length {
			t.Errorf("%d events, %d bytes", events, size)
		}
		must(t, s.Close())
		if dir == "" {
			continue
		}
		again, left := open(t, dir)
		var got []string
		for _, b := range left {
			got = append(got, text(t, b))
		}
		if !slices.Equal(got, want) { // What is sealed comes first, by sequence.
			t.Errorf("after a restart %q, want %q", got, want)
		}
		if e, n := again.Held(); e != events || n != size {
			t.Errorf("after a restart %d events, %d bytes", e, n)
		}
		if place := again.Place(); place <= gone.place-1 {
			t.Errorf("the next place is %d", place)
		}
		for _, b := range left {
			b.Remove()
		}
		if events, size := again.Held(); events != 0 || size != 0 {
			t.Errorf("at the end %d events, %d bytes", events, size)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 { // LOCK.
			t.Errorf("%q are left", names)
		}
	}
}

func TestBounds(t *testing.T) {
	s, _ := open(t, t.TempDir())
	b := s.Batch(s.Place())
	if err := b.Append(make([]byte, 1<<20), 1); !errors.Is(err, ErrFull) {
		t.Errorf("more bytes than there may be: %v", err)
	}
	must(t, b.Append([]byte("x"), 100))
	if err := b.Append([]byte("y"), 1); !errors.Is(err, ErrFull) {
		t.Errorf("more events than there may be: %v", err)
	}
	must(t, b.Seal(Seal{Sequence: 1, Count: 100, Body: make([]byte, 1<<20)})) // It must be sent.
	if _, size := s.Held(); size < 1<<20 {
		t.Errorf("%d bytes", size)
	}
	b.Remove()
	must(t, s.Batch(s.Place()).Append([]byte("y"), 100))
}

func TestOneProcessOneProducer(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	must(t, s.Batch(s.Place()).Append([]byte("x"), 1))
	other := Options{Dir: dir, BytesMax: 1, EventsMax: 1, Producer: "gw-2", Fault: func(err error) { t.Error(err) }}
	if _, _, err := Open(
		other,
	); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprint("in use by process ", os.Getpid())) {
		t.Errorf("a second process: %v", err)
	}
	must(t, s.Close())
	must(t, s.Close()) // The second time there is nothing to do.
	if _, _, err := Open(other); err == nil || !strings.Contains(err.Error(), `"gw-1" owes`) {
		t.Errorf("another producer: %v", err)
	}
	_, left := open(t, dir) // The refusals have changed nothing, and hold no lock.
	if len(left) != 1 || text(t, left[0]) != "1: x" {
		t.Errorf("%d batches are left", len(left))
	}
}

// whole is a file with events, a seal, and what came after it was asked anew.
func whole(t *testing.T) (raw []byte, ends []int) {
	t.Helper()
	raw = appendOrigin(nil, "gw-1")
	ends = append(ends, len(raw))
	for _, add := range []func(){
		func() { raw = appendEvents(raw, kindEvents, []byte("one"), 1) },
		func() { raw = appendEvents(raw, kindEvents, []byte("two"), 2) },
		func() { raw = appendSeal(raw, &sealed) },
		func() { raw = appendRecord(raw, kindSent) },
		func() { raw = appendEvents(raw, kindAnew, []byte("last"), 1) },
	} {
		add()
		ends = append(ends, len(raw))
	}
	return raw, ends
}

// openWith opens a directory that has one file, and returns what is in it, "" for nothing, and the faults.
func openWith(t *testing.T, raw []byte) (content string, faults []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "000000000000000a.owed"), raw, 0o600))
	s, left, err := Open(Options{
		Dir: dir, BytesMax: math.MaxInt64, EventsMax: math.MaxInt64, Producer: "gw-1",
		Fault: func(err error) { faults = append(faults, err.Error()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if place := s.Place(); place != 11 {
		t.Errorf("the next place is %d", place)
	}
	for _, b := range left {
		content = text(t, b)
		must(t, b.Seal(Seal{Sequence: 9, Count: 1, Body: []byte("later")})) // What is cut off is not in its way.
		if got := text(t, b); !strings.HasPrefix(got, "9 at ") {
			t.Errorf("sealed later: %q", got)
		}
	}
	return content, faults, dir
}

// A record that is cut off, or is not there but for its zeros, is as if it had never been written.
func TestTornTails(t *testing.T) {
	raw, ends := whole(t)
	want := []string{"", "1: one", "3: one,two", sealedText, sealedText, "1: last"}
	for cut := range len(raw) + 1 {
		records := 0
		for records < len(ends) && ends[records] <= cut {
			records++
		}
		content := ""
		if records > 0 {
			content = want[records-1]
		}
		for _, tail := range [][]byte{nil, make([]byte, 100)} {
			if tail != nil && records < len(ends) && isZero(raw[cut:ends[records]]) {
				continue // They make the record whole.
			}
			got, faults, _ := openWith(t, append(slices.Clone(raw[:cut]), tail...))
			if got != content || len(faults) > 0 && tail == nil {
				t.Fatalf("cut at %d, and %d zeros: %q, want %q; %q", cut, len(tail), got, content, faults)
			}
		}
	}
}

// Whatever byte changes, what is returned was written, and somebody is told that there was more.
func TestDamage(t *testing.T) {
	raw, ends := whole(t)
	contents := []string{"", "1: one", "3: one,two", sealedText, sealedText}
	for n := 2; n <= len(ends); n++ {
		raw := raw[:ends[n-1]]
		for i := range raw {
			bad := slices.Clone(raw)
			bad[i] ^= 1 << (i % 8)
			got, faults, dir := openWith(t, bad)
			aside, _ := filepath.Glob(filepath.Join(dir, "*.owed.damaged"))
			isLast := i >= ends[n-2]
			switch {
			case len(faults) != 1:
				t.Fatalf("byte %d of %d: faults %q, content %q", i, len(raw), faults, got)
			case isLast && (len(aside) > 0 || got != contents[n-2] || !strings.Contains(faults[0], "power cut")):
				t.Fatalf("byte %d of %d: %q is set aside, content %q, %q", i, len(raw), aside, got, faults)
			case !isLast && (len(aside) != 1 || got != "" || !strings.Contains(faults[0], "set aside")):
				t.Fatalf("byte %d of %d: %q is set aside, content %q, %q", i, len(raw), aside, got, faults)
			}
			if !isLast {
				if kept, _ := os.ReadFile(aside[0]); !bytes.Equal(kept, bad) {
					t.Fatal("what was set aside is not what was there")
				}
			}
		}
	}
}

// What is damaged while it waits is noticed when it is read.
func TestDamageWhileItWaits(t *testing.T) {
	dir := t.TempDir()
	var told error
	s, _, err := Open(Options{
		Dir: dir, BytesMax: 1 << 20, EventsMax: 10, Producer: "gw-1", Fault: func(err error) { told = err },
	})
	must(t, err)
	defer s.Close()
	b := s.Batch(s.Place())
	must(t, b.Append([]byte("x"), 1))
	b.Rest()
	path := b.store.(*file).path
	raw, err := os.ReadFile(path)
	must(t, err)
	for _, bad := range [][]byte{raw[:len(raw)-1], append(raw[:len(raw)-1:len(raw)-1], 'y'), nil} {
		must(t, os.WriteFile(path, bad, 0o600))
		if c, err := b.Read(); err == nil {
			t.Errorf("%+v was read", c)
		}
	}
	b.SetAside(errTorn)
	if events, size := s.Held(); events != 0 || size != 0 || told == nil {
		t.Errorf("%d events, %d bytes, told %v", events, size, told)
	}
}

// When the disk cannot be written, nothing is kept, and what is kept later is good.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	b := s.Batch(s.Place())
	f := b.store.(*file)
	name := f.path
	f.path = filepath.Join(dir, "missing", "file")
	if err := b.Append([]byte("x"), 1); err == nil {
		t.Error("it was written into a directory that is not there")
	}
	if err := b.Seal(sealed); err == nil {
		t.Error("it was written into a directory that is not there")
	}
	if events, size := s.Held(); events != 0 || size != 0 || b.Events() != 0 {
		t.Errorf("%d events, %d bytes", events, size)
	}
	f.path = name
	must(t, b.Append([]byte("y"), 1))
	if got := text(t, b); got != "1: y" {
		t.Errorf("%q", got)
	}
}

// FuzzDecodeContent: whatever is on disk is read without a panic, and written again it says the same.
func FuzzDecodeContent(f *testing.F) {
	raw, ends := whole(&testing.T{})
	for _, end := range ends {
		f.Add(raw[:end])
	}
	f.Add(raw[ends[0]:])
	f.Add(make([]byte, 40))
	f.Add(appendRecord(appendOrigin(nil, "gw-1"), kindSeal, make([]byte, 24)))
	f.Add(appendRecord(appendOrigin(nil, "gw-1"), kindSent+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, whole, err := decodeContent(b)
		if whole > len(b) {
			t.Fatalf("%d of %d bytes were read", whole, len(b))
		}
		if err != nil || c.producer == "" {
			return
		}
		again := appendOrigin(nil, c.producer)
		for _, e := range c.Events {
			again = appendEvents(again, kindEvents, e, max(1, c.Count/len(c.Events)))
		}
		if c.Seal != nil {
			again = appendSeal(again, c.Seal)
		}
		d, n, err := decodeContent(again)
		if err != nil || n != len(again) || len(d.Events) != len(c.Events) || (d.Seal == nil) != (c.Seal == nil) {
			t.Fatalf("%+v, %v, first %+v", d, err, c)
		}
		if c.Seal != nil && (d.Seal.Sequence != c.Seal.Sequence || !d.Seal.At.Equal(c.Seal.At) ||
			!bytes.Equal(d.Seal.Body, c.Seal.Body) || !slices.Equal(d.Seal.Refused, c.Seal.Refused)) {
			t.Fatalf("%+v, first %+v", d.Seal, c.Seal)
		}
	})
}

// The names of all directories that are made are synced, each before the next one is made in it, and once more when the
// directory is found: the process may have died in between.
func TestDirectoryIsSynced(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "a", "b")
	var synced []string
	sync := func(dir string) error {
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		synced = append(synced, strings.TrimPrefix(strings.Join(names, " "), top))
		return syncDir(dir)
	}
	must(t, makeDir(path, sync))
	must(t, makeDir(path, sync))
	if got := strings.Join(synced, ", "); got != "/a, /a/b, /a/b" {
		t.Errorf("%s", got)
	}
	failing := func(string) error { return os.ErrInvalid }
	if err := makeDir(filepath.Join(path, "c"), failing); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a sync that fails: %v", err)
	}
	refused := func(string) error { return os.ErrPermission }
	must(t, makeDir(path, refused)) // It was there, and this user did not make it.
	if err := makeDir(filepath.Join(path, "d"), refused); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a sync that is refused: %v", err)
	}
}
