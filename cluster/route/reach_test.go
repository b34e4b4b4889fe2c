package route

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A request that comes while a cell goes from one owner to the next is answered by the next one, with its body. The
// cell was let go of an hour ahead, so that only the board's word ends the waiting.
func TestHandOver(t *testing.T) {
	for _, c := range []struct{ name, before string }{
		{"nobody owns the cell", ""}, {"the doors of the last owner are closed", closedPort(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			next := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				_, _ = w.Write(body)
			}))
			t.Cleanup(next.Close)
			changed := make(chan struct{})
			r.board.letGo, r.board.changed = time.Now().Add(time.Hour), changed
			follow := func() {
				r.board.set(0, "n2", next.Listener.Addr().String())
				close(changed)
			}
			r.board.looked = func() { go follow() } // The request waits for the board.
			if c.before != "" {
				r.board.set(0, "n1", c.before)
				r.board.looked = follow // That word comes at once, or not at all.
			}
			resp, text := r.do("POST", "/v1/accounts", strings.NewReader("a body"))
			if resp.StatusCode != http.StatusOK || text != "a body" {
				t.Fatal(resp.StatusCode, text)
			}
		})
	}
}

// Who comes when the waiting is over is refused at once.
func TestNobodyFollows(t *testing.T) {
	r := newRig(t, nil)
	r.board.letGo = time.Now().Add(-handOverMax)
	resp, text := r.do("GET", "/v1/accounts", nil)
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "has no owner now")
}

// Whether a cell has an owner is said when its hand-over is over: it has none only if nobody follows.
func TestOwnedAwaitsTheNextOwner(t *testing.T) {
	r := newRig(t, nil)
	changed := make(chan struct{})
	r.board.letGo, r.board.changed = time.Now().Add(time.Hour), changed
	r.board.looked = func() {
		r.board.set(0, "n2", "127.0.0.1:1")
		close(changed)
	}
	if !r.Owned(t.Context(), 0) {
		t.Fatal("the cell has no owner")
	}
	r.board.unset(0)
	r.board.letGo = time.Time{}
	if r.Owned(t.Context(), 0) {
		t.Fatal("a cell that nobody owns has an owner")
	}
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
