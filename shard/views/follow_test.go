package views

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// slowView takes three calls for each group, and fails in the midst of some with a part of the groups done.
type slowView struct {
	memView
	calls int
}

func (v *slowView) Apply(groups []*Group, devices Devices) error {
	v.mu.Lock()
	v.calls++
	call := v.calls
	v.mu.Unlock()
	if call%3 != 0 {
		return nil
	}
	if err := v.memView.Apply(groups[:1], devices); err != nil {
		return err
	}
	if call%2 == 0 {
		return errors.New("no room for more")
	}
	return nil
}

// A view that does not come to the end in one call is called again at once, with what is behind its position, also
// after an error: it is given no group again that it holds.
func TestApplyInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memSource{first: 1}
		v := &slowView{}
		r, err := Open(options(s, v))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			r.Durable(s.add(100))
		}
		if err := r.WaitFor(v, 1); err != nil {
			t.Fatal(err)
		}
		for seq := uint64(2); seq <= 4; seq++ {
			for err = ErrLags; errors.Is(err, ErrLags); { // A view that failed rests for a while.
				err = r.WaitFor(v, seq)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
		if !slices.Equal(v.seen, numbers(1, 4)) || v.calls != 12 || r.Passed() != 4 {
			t.Errorf("%d calls have given %d, and it has passed %d", v.calls, v.seen, r.Passed())
		}
	})
}
