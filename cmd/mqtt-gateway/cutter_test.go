package main

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// The chances, in a hundred, that what meterd answers, or what the gateway asks, is cut off.
const (
	answersCut  = 5
	requestsCut = 2
)

// cutter is a TCP proxy between the gateway and a meterd that comes and goes. It cuts connections, most of them within
// an answer.
type cutter struct {
	listener net.Listener
	target   string // meterd's address
	ctx      context.Context
	open     sync.WaitGroup
	cuts     atomic.Int64

	mu   sync.Mutex
	dice *rand.Rand
}

// newCutter starts a proxy to target, which ends with the test.
func newCutter(t *testing.T, target string, dice *rand.Rand) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &cutter{listener: listener, target: target, ctx: ctx, dice: dice}
	c.open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // It was closed.
			}
			c.open.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() {
		stop()
		_ = listener.Close() // It only listens.
		c.open.Wait()
	})
	return c
}

// serve is one connection. Like a kernel's, its end is seen at once on the other side.
func (c *cutter) serve(gateway net.Conn) {
	defer gateway.Close()
	meterd, err := net.Dial("tcp", c.target)
	if err != nil {
		return // meterd is down.
	}
	defer meterd.Close()
	end := func() {
		_ = gateway.Close()
		_ = meterd.Close()
	}
	defer context.AfterFunc(c.ctx, end)()
	c.open.Go(func() {
		defer end()
		c.copy(meterd, gateway, requestsCut)
	})
	defer end()
	c.copy(gateway, meterd, answersCut)
}

// copy copies until the connection ends or is cut: then a part of what came last arrives, or nothing of it.
func (c *cutter) copy(to, from net.Conn, chance int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			c.mu.Lock()
			isCut, part := c.dice.IntN(100) < chance, c.dice.IntN(n)
			c.mu.Unlock()
			if isCut {
				c.cuts.Add(1)
				_, _ = to.Write(buf[:part]) // Nobody is told how far it came.
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
