package jetlog

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSeldom(t *testing.T) {
	var s Seldom
	start := time.Now()
	for i, c := range []struct {
		after time.Duration
		text  string
		want  bool
	}{
		{0, "a", true},
		{1, "a", false},
		{2, "b", false},
		{seldomEvery, "a", false},
		{seldomEvery, "b", true},
		{9 * seldomEvery, "b", false},
		{9 * seldomEvery, "", false},
		{9 * seldomEvery, "b", true},
		{9 * seldomEvery, "", false},
		{9 * seldomEvery, "b", false},
	} {
		if c.text == "" {
			s.Forget()
		} else if got := s.Says(c.text, start.Add(c.after)); got != c.want {
			t.Errorf("%d: %q after %v: %v", i, c.text, c.after, got)
		}
	}
}

// unreadable is a stream that nobody can read.
type unreadable struct{ Stream }

func (unreadable) Read(context.Context, uint64, int) ([]Stored, error) { return nil, errFake }

// A stream that cannot be read for a minute takes one line of the log.
func TestUnreadableIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		f := openFollower(t, s, openSegments(t), "n1")
		var said bytes.Buffer
		f.o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		f.o.Stream = unreadable{s}
		for range 30 {
			if n, err := f.Step(t.Context()); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			time.Sleep(2 * time.Second)
		}
		if n := strings.Count(said.String(), "cannot be read"); n != 1 {
			t.Fatalf("%d lines:\n%s", n, said.String())
		}
	})
}
