package ingest

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline that was moved back many times fires at the last instant that was set; one that was moved forward fires at
// its new instant; one that was removed never fires.
func TestDeadlinesAreLazyAndExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := &connection{Conn: near}
		began := time.Now()
		timesOut := func(what string, after time.Duration, do func([]byte) (int, error)) {
			t.Helper()
			if _, err := do(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != after {
				t.Errorf("%s: %v after %v, want a timeout after %v", what, err, time.Since(began), after)
			}
			began = time.Now()
		}
		set := func(read bool, after time.Duration) {
			t.Helper()
			move := c.SetWriteDeadline
			if read {
				move = c.SetReadDeadline
			}
			if err := move(time.Now().Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		for _, read := range []bool{true, false} {
			do := c.Write
			if read {
				do = c.Read
			}
			for i := range 100 {
				set(read, time.Minute+time.Duration(i)*time.Second)
				set(read, time.Minute)
			}
			timesOut("moved back", time.Minute, do)
			set(read, time.Minute)
			set(read, time.Hour)
			timesOut("moved far back", time.Hour, do)
			set(read, time.Hour)
			set(read, time.Second)
			timesOut("moved forward", time.Second, do)
		}
		if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			_, _ = far.Write([]byte{7})
		}()
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read %d bytes: %v, without a deadline", n, err)
		}
	})
}

// A write that was interrupted by an early timer continues where it stopped.
func TestWriteGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := &connection{Conn: near}
		for _, after := range []time.Duration{time.Second, time.Hour} {
			if err := c.SetWriteDeadline(time.Now().Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		got := make(chan string)
		go func() {
			b := make([]byte, 8)
			n, _ := far.Read(b[:3])
			time.Sleep(time.Minute)
			m, _ := far.Read(b[n:])
			got <- string(b[:n+m])
		}()
		if n, err := c.Write([]byte("abcdefgh")); n != 8 || err != nil {
			t.Errorf("%d bytes written: %v", n, err)
		}
		if s := <-got; s != "abcdefgh" {
			t.Errorf("%q arrived", s)
		}
	})
}
