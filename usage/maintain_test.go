package usage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// maintained counts how often it is maintained, and fails at last.
type maintained struct {
	Store
	calls, callsMax int
	nowMs           int64
}

var errFailed = errors.New("the disk is on fire")

func (m *maintained) Maintain(_ context.Context, nowMs int64) error {
	m.nowMs = nowMs
	if m.calls++; m.calls == m.callsMax {
		return errFailed
	}
	return nil
}

func TestMaintain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &maintained{callsMax: 3}
		if err := New(
			Options{Store: store},
		).Maintain(t.Context(), decided, always); !errors.Is(err, errFailed) ||
			store.calls != 3 {
			t.Fatalf("%d calls, %v", store.calls, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*maintainEvery+time.Second)
		defer cancel()
		store = &maintained{}
		if err := New(
			Options{Store: store},
		).Maintain(ctx, decided, always); err != nil || store.calls != 5 ||
			store.nowMs != 42 {
			t.Fatalf("%d calls, %v", store.calls, err)
		}
	})
}

func always() bool { return true }

func decided() int64 { return 42 }

// Nothing is maintained while that is not safe, and it goes on when it is.
func TestMaintainWaitsUntilItIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*maintainEvery+time.Second)
		defer cancel()
		store, asked := &maintained{}, 0
		may := func() bool { asked++; return asked > 3 }
		if err := New(Options{Store: store}).Maintain(ctx, decided, may); err != nil || asked != 5 || store.calls != 2 {
			t.Fatalf("asked %d times, %d calls, %v", asked, store.calls, err)
		}
	})
}
