package ingest

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// unread bounds the answers that clients have not taken yet. A request has given its memory back by then, and a client
// that does not read would hold a large answer for writeTimeout, on each of its connections.
//
//	handler ─► hold ─► fasthttp writes it ─► Close: its bytes are free
//	            └─► too many bytes: the client with most of them loses the connection of its oldest answer
//
// So nobody waits, and only the client that leaves the most unread loses an answer.
type unread struct {
	most int64
	cut  atomic.Uint64 // answers whose connection was closed

	mu    sync.Mutex
	bytes int64            // of held
	held  []*heldAnswer    // the oldest first
	sums  map[string]int64 // bytes of held, by whose they are
}

// heldAnswer is a large answer, as fasthttp reads it.
type heldAnswer struct {
	*bytes.Reader
	u    *unread
	who  string
	conn net.Conn
}

// hold has a large answer count as unread until it was written.
func (u *unread) hold(ctx *fasthttp.RequestCtx) {
	r := &ctx.Response
	if r.IsBodyStream() || len(r.Body()) <= answerBytesFree {
		return
	}
	body := r.Body()
	if own := r.SwapBody(nil); len(own) > 0 { // Else the body is the handler's, and never changes.
		body = own
	}
	a := &heldAnswer{
		Reader: bytes.NewReader(body), u: u, who: string(ctx.Request.Header.Peek("Authorization")), conn: ctx.Conn(),
	}
	r.SetBodyStream(a, len(body))
	for _, cut := range u.add(a) {
		if c, ok := cut.conn.(*connection); ok {
			c.isCut.Store(true) // It ends at once, also below TLS, which would say goodbye.
		}
		_ = cut.conn.Close() // It fails on a closed connection. Whoever writes to it sees that.
	}
}

// add counts an answer and returns those that must go.
func (u *unread) add(a *heldAnswer) (cut []*heldAnswer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sums == nil {
		u.sums = map[string]int64{}
	}
	u.held = append(u.held, a)
	u.bytes += a.Size()
	u.sums[a.who] += a.Size()
	for u.bytes > u.most && len(u.held) > 1 {
		i := u.worst()
		cut = append(cut, u.held[i])
		u.removeLocked(i)
	}
	u.cut.Add(uint64(len(cut)))
	return cut
}

// worst returns the oldest answer of whoever has most bytes.
func (u *unread) worst() (place int) {
	most := u.held[0].who
	for who, bytes := range u.sums {
		if bytes > u.sums[most] {
			most = who
		}
	}
	for u.held[place].who != most {
		place++
	}
	return place
}

func (u *unread) removeLocked(i int) {
	a := u.held[i]
	u.bytes -= a.Size()
	if u.sums[a.who] -= a.Size(); u.sums[a.who] == 0 {
		delete(u.sums, a.who)
	}
	u.held = slices.Delete(u.held, i, i+1)
}

// Close implements io.Closer: the answer was written, or never will be.
func (a *heldAnswer) Close() error {
	a.u.mu.Lock()
	defer a.u.mu.Unlock()
	if i := slices.Index(a.u.held, a); i >= 0 {
		a.u.removeLocked(i)
	}
	return nil
}

// size returns the bytes that are held.
func (u *unread) size() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes
}
