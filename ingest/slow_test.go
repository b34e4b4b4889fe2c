package ingest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

// trickle is a connection that delivers a body in pieces, each after a delay, and keeps to its read deadline.
type trickle struct {
	*connection
	piece  []byte
	pieces int
	every  time.Duration
	by     time.Time
}

func (c *trickle) SetReadDeadline(t time.Time) error {
	c.by = t
	return nil
}

func (c *trickle) Read(p []byte) (int, error) {
	if c.pieces == 0 {
		return 0, io.EOF
	}
	if left := time.Until(c.by); left < c.every {
		time.Sleep(left)
		return 0, &net.OpError{Op: "read", Err: deadlineError{}}
	}
	time.Sleep(c.every)
	c.pieces--
	return copy(p, c.piece), nil
}

type deadlineError struct{}

func (deadlineError) Error() string   { return "i/o timeout" }
func (deadlineError) Is(e error) bool { return e.Error() == "i/o timeout" }

// A body may take any time as long as it makes progress. A body that is too slow is refused with 408, which means that
// nothing was counted and that it may be sent again; never with 400, which would mean that it is malformed.
func TestSlowBodies(t *testing.T) {
	for _, c := range []struct {
		name    string
		piece   int
		every   time.Duration
		refused bool
	}{
		{"140 kbit/s for six minutes", 20 << 10, time.Second, false},
		{"1 kB/s", 1 << 10, time.Second, true},
		{"stops", 20 << 10, 2 * time.Minute, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			const pieces = 360
			slow := &trickle{
				piece:  bytes.Repeat([]byte{' '}, c.piece),
				pieces: pieces,
				every:  c.every,
				by:     time.Now().Add(readTimeout),
			}
			h := &Handler{}
			h.admission.most = admissionBytesDefault
			call := newCall(h)
			call.arriving = arriving{in: slow, conn: slow, left: pieces * c.piece}
			p := call.readAll(&call.arriving, pieces*c.piece, false)
			if !c.refused && p != nil ||
				c.refused && (p == nil || p.Code != event.RequestTimeout || p.Code.Status() != 408) {
				t.Errorf("%s: %+v", c.name, p)
			}
		})
	}
}

// A request that is refused before its body was read is answered: a client that sends the whole body can read why.
func TestRefusalArrives(t *testing.T) {
	server, err := Listen("127.0.0.1:0", nil, func(ctx *fasthttp.RequestCtx) { refuse(ctx, tooLarge()) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	body := strings.Repeat(" ", event.BodyBytesMax+1)
	arrived := 0
	for range 30 {
		began := time.Now()
		conn, err := net.Dial("tcp", server.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		_, cut := io.WriteString(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 67108865\r\n\r\n"+body)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if time.Since(began) >= lingerFor {
			continue // On a machine that took so long it may have been cut off.
		}
		if cut != nil || err != nil || answer.StatusCode != 413 {
			t.Errorf("the client was cut off: %v, or reads %+v, %v", cut, answer, err)
		}
		if arrived++; arrived == 3 {
			return
		}
	}
	t.Skipf("this machine cannot send 64 MiB within %s: it was seen %d times", lingerFor, arrived)
}
