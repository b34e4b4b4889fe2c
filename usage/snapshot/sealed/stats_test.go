package sealed

import (
	"errors"
	"testing"

	"github.com/meterd/meterd/event"
)

// What the caller did wrong is no failure of the daemon.
func TestRefusalsAreNoFailures(t *testing.T) {
	for _, c := range []struct {
		code event.Code
		want uint64
	}{
		{event.InvalidArgument, 0}, {event.NotFound, 0}, {event.Unauthorized, 0}, {event.DiskFull, 1},
	} {
		b := newBed(t)
		b.change = func(s *fakeSource) {
			s.failing = func(int) error { return &event.Problem{Code: c.code} }
		}
		_, err := b.make(Request{})
		var p *event.Problem
		if !errors.As(err, &p) || p.Code != c.code || b.stats.failed.Load() != c.want {
			t.Errorf("%v: %v, %d failures", c.code, err, b.stats.failed.Load())
		}
	}
}
