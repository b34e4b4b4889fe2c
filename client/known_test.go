package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

// lastKnownAnswer denies the devices idle and dry.
func lastKnownAnswer(r request, resets time.Time) *http.Response {
	accepted, denied := 0, []string{}
	for i, l := range r.lines {
		switch l.Device {
		case "idle":
			denied = append(denied, fmt.Sprintf(`{"index":%d,"code":"not_activated"}`, i))
		case "dry":
			denied = append(denied, fmt.Sprintf(
				`{"index":%d,"code":"message_quota_exceeded","resets_at":%q}`, i, resets.UTC().Format(time.RFC3339)))
		default:
			accepted++
		}
	}
	return respond(200, fmt.Sprintf(`{"accepted":%d,"denied":[%s]}`, accepted, strings.Join(denied, ",")))
}

// With LastKnown a device has what meterd last said about it, a quota until it resets; one that is not known is
// refused. Only what passed is reported. Each try is told.
func TestLastKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resets := time.Now().Add(time.Hour)
		isDown := false
		f := &fakeMeterd{}
		f.answer = func(_ int, r request) (*http.Response, error) {
			if isDown {
				return respond(503, `{"code":"overloaded"}`), nil
			}
			return lastKnownAnswer(r, resets), nil
		}
		tries, failed := 0, 0
		reported := map[string]int{}
		c := newTestClient(t, f, func(o *Options) {
			o.OnUnavailable, o.InFlightMax, o.KnownDevicesMax = LastKnown, 1, 4
			o.Reported = func(e Event, _ Verdict) { reported[e.Device]++ }
			o.Tried = func(try Try) {
				tries++
				if try.Err != nil {
					failed++
				}
				if try.Sequence == 0 || try.Events == 0 || try.Bytes == 0 {
					t.Errorf("%+v", try)
				}
			}
		})
		for _, device := range []string{"good", "idle", "dry"} {
			if _, err := c.Decide(t.Context(), up(device, 1)); err != nil {
				t.Fatal(err)
			}
		}
		down := func(is bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			isDown = is
		}
		down(true)
		expect := func(device, want string) {
			t.Helper()
			v, err := c.Decide(t.Context(), up(device, 2))
			got := v.Code
			if errors.Is(err, ErrUnavailable) {
				got = "unavailable"
			} else if err != nil || !v.Unasked {
				t.Errorf("%s: %+v, %v", device, v, err)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", device, got, want)
			}
		}
		expect("good", "accepted")
		expect("idle", "not_activated")
		expect("dry", "message_quota_exceeded")
		expect("new", "unavailable")
		if _, err := c.Decide(t.Context(), Event{Type: event.Connect, Product: "p1", Device: "good"}); err == nil {
			t.Error("connecting is another thing than messages, and was not asked about")
		}
		time.Sleep(time.Hour)
		expect("dry", "accepted")
		down(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(reported) != 2 || reported["good"] != 1 || reported["dry"] != 1 {
			t.Errorf("%v were reported", reported)
		}
		for i := range 10 {
			if _, err := c.Decide(t.Context(), up(fmt.Sprint("more", i), 1)); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n := len(c.lanes[0].known); n != 4 {
			t.Errorf("%d devices are remembered", n)
		}
		if s := c.Stats(); tries != int(s.Requests) || failed == 0 || s.Ambiguous != 0 {
			t.Errorf("%d tries, %d failed, %+v", tries, failed, s)
		}
		closeClient(t, c)
	})
}
