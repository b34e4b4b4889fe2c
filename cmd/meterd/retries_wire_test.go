package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fate is what a bad network does to one request.
type fate int

const (
	arrives     fate = iota
	cutBefore        // nothing of the request arrives
	cutWithin        // a part of the request arrives
	cutBetween       // all of the request arrives, nothing of the answer comes back
	cutAnswer        // a part of the answer comes back
	cutAfter         // the answer comes back, and then the connection is gone
	late             // the request is held, while others overtake it
	lateAnswer       // the answer is held
	doubled          // two copies arrive at once, on two connections
	doubledLate      // a second copy arrives when the first one was answered
	fates
)

// chances are those of each fate, in a hundred.
func chances() [fates]int { return [fates]int{50, 4, 5, 9, 8, 3, 6, 3, 7, 5} }

// delayMost is how long the wire holds something at most.
const delayMost = 40 * time.Millisecond

// wire is a TCP proxy between gateways and a daemon that comes and goes. It cuts, delays and doubles requests, and
// shows every answer that the daemon gave in full, also those that never reach a gateway.
type wire struct {
	listener net.Listener
	daemon   atomic.Pointer[string] // its address
	witness  func(req *http.Request, a answer, isStray bool)
	happened [fates]atomic.Int64
	ctx      context.Context
	open     sync.WaitGroup

	mu   sync.Mutex
	dice *rand.Rand
}

// newWire starts a proxy, which ends with the test.
func newWire(t testing.TB, dice *rand.Rand, witness func(*http.Request, answer, bool)) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &wire{listener: listener, dice: dice, witness: witness, ctx: ctx}
	w.open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // It was closed.
			}
			w.open.Go(func() { w.serve(conn) })
		}
	})
	t.Cleanup(func() {
		stop()
		_ = listener.Close() // It only listens.
		w.open.Wait()
	})
	return w
}

// aim leads the wire to a daemon's new address.
func (w *wire) aim(address string) { w.daemon.Store(&address) }

// draw returns a fate and three chances of it: where to cut and how long to wait.
func (w *wire) draw() (f fate, part float64, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for chance := w.dice.IntN(100); chance >= chances()[f]; f++ {
		chance -= chances()[f]
	}
	return f, w.dice.Float64(), time.Duration(w.dice.Int64N(int64(delayMost)))
}

// pause holds something, unless the test ends.
func (w *wire) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ctx.Done():
	}
}

// serve is one connection of a gateway.
func (w *wire) serve(conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(w.ctx, func() { _ = conn.Close() })() // Whatever is read or written fails then.
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return // The gateway closed it.
		}
		var raw bytes.Buffer
		if err := req.Write(&raw); err != nil {
			return
		}
		if !w.carry(conn, req, raw.Bytes()) {
			return
		}
	}
}

// carry brings a request to its fate; false ends the gateway's connection.
func (w *wire) carry(conn net.Conn, req *http.Request, raw []byte) bool {
	f, part, wait := w.draw()
	w.happened[f].Add(1)
	cut := int(part * float64(len(raw)))
	switch f {
	case cutBefore:
		return false
	case cutWithin, cutBetween:
		if f == cutBetween {
			cut = len(raw)
		}
		if up, err := net.Dial("tcp", *w.daemon.Load()); err == nil {
			_, _ = up.Write(raw[:cut]) // Nobody is told how far it came.
			_ = up.Close()
		}
		return false
	case late:
		w.pause(wait)
	case doubled:
		w.open.Go(func() { w.exchange(req, raw, true) })
	}
	reply := w.exchange(req, raw, false)
	if reply == nil {
		return false // The daemon was killed meanwhile.
	}
	switch f {
	case cutAnswer:
		reply = reply[:int(part*float64(len(reply)))]
	case lateAnswer:
		w.pause(wait)
	case doubledLate:
		w.open.Go(func() {
			w.pause(wait)
			w.exchange(req, raw, true)
		})
	}
	_, err := conn.Write(reply)
	return err == nil && f != cutAnswer && f != cutAfter
}

// exchange sends a request on a connection of its own and returns the bytes of the answer, nil without one. A stray
// copy is one for whose answer nobody waits.
func (w *wire) exchange(req *http.Request, raw []byte, isStray bool) []byte {
	up, err := net.Dial("tcp", *w.daemon.Load())
	if err != nil {
		return nil
	}
	defer up.Close()
	defer context.AfterFunc(w.ctx, func() { _ = up.Close() })()
	if _, err := up.Write(raw); err != nil {
		return nil
	}
	var reply bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(up, &reply)), req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil
	}
	w.witness(req, a, isStray)
	return reply.Bytes()
}
