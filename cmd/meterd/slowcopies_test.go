package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// sender is another node that sends so many bytes of a directory, pause after the last ones.
type sender struct {
	now   *time.Time
	bytes int
	pause time.Duration
	left  int
}

func (s *sender) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	*s.now = s.now.Add(s.pause)
	n := min(s.bytes, len(b), s.left)
	s.left -= n
	return n, nil
}

func (s *sender) Close() error { return nil }

// A node that sends a byte now and then is given up, one that sends slowly, but fast enough, is not. Either lets the
// next copy begin when its turn is over.
func TestSlowCopies(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    sender
		isSlow  bool
		hasLeft bool
	}{
		{"it sends a byte now and then", sender{bytes: 1, pause: 14 * time.Second, left: 1 << 30}, true, false},
		{"it is fast", sender{bytes: 256 << 10, pause: 10 * time.Millisecond, left: 64 << 20}, false, false},
		{"it sends as much as it must", sender{bytes: 128 << 10, pause: time.Second / 8, left: 128 << 20}, false, true},
		{"it pauses in the middle", sender{bytes: 10 << 10, pause: 10 * time.Second, left: 10 << 10}, false, false},
		{"it becomes slow", sender{bytes: 64 << 10, pause: time.Second, left: 64 << 20}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now, places, left := time.Unix(0, 0), 0, c.from.left
			c.from.now = &now
			p := &pacedReader{
				ReadCloser: &c.from, ctx: t.Context(), pace: &bytePace{perSecond: 1 << 40}, leave: func() { places++ },
				now: func() time.Time { return now },
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, p, make([]byte, 256<<10))
			if is := err != nil && strings.Contains(err.Error(), "too slow"); is != c.isSlow || err != nil && !is {
				t.Errorf("%d bytes in %s: %v", n, now.Sub(time.Unix(0, 0)), err)
			}
			if most := peerSilence + time.Duration(left)*time.Second/copyBytesPerSecondMin; p.waited > most {
				t.Errorf("it was waited for %s, and not for %s at most", p.waited, most)
			}
			if (places > 0) != c.hasLeft {
				t.Errorf("the next copy may begin: %t", places > 0)
			}
			if err := p.Close(); err != nil || places == 0 {
				t.Errorf("it keeps its place: %v", err)
			}
		})
	}
}
