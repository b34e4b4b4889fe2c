package websocket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

var mask = [4]byte{0xa1, 0, 0xff, 7}

func TestHeaderRoundTrip(t *testing.T) {
	for _, length := range []uint64{0, 1, 125, 126, 127, 65535, 65536, 1 << 40, 1<<63 - 1} {
		for _, h := range []Header{
			{Opcode: Binary, Final: true, Length: length},
			{Opcode: Continuation, Length: length, Masked: true, Mask: mask},
		} {
			b := AppendHeader(nil, h)
			got, n, err := ParseHeader(append(b, 1, 2, 3))
			if err != nil || n != len(b) || got != h || n > HeaderBytesMax {
				t.Errorf("%+v became %+v of %d bytes, %v", h, got, n, err)
			}
			for cut := range b {
				if _, n, err := ParseHeader(b[:cut]); n != 0 || err != nil {
					t.Errorf("%+v: %d bytes are a header of %d, %v", h, cut, n, err)
				}
			}
		}
	}
}

func TestHeaderRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"a reserved bit":         {0xc2, 0},
		"an unknown opcode":      {0x83, 0},
		"an unknown control":     {0x8b, 0},
		"a fragmented ping":      {0x09, 0},
		"a long ping":            {0x89, 126, 0, 126},
		"16 bits for a short":    {0x82, 126, 0, 125},
		"64 bits for 16":         {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
		"a length over 63 bits":  {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"a masked, long control": {0x88, 0xfe, 0, 200},
	} {
		if h, n, err := ParseHeader(b); err == nil {
			t.Errorf("%s is %+v of %d bytes", name, h, n)
		}
	}
}

func TestMaskTwiceIsNothing(t *testing.T) {
	for n := range 40 {
		plain := []byte(strings.Repeat("0123456789", 4)[:n])
		b := bytes.Clone(plain)
		Mask(b, mask)
		for i := range b {
			if b[i] != plain[i]^mask[i%4] {
				t.Fatalf("byte %d of %d is %x", i, n, b[i])
			}
		}
		if Mask(b, mask); !bytes.Equal(b, plain) {
			t.Fatalf("%d bytes came back as %q", n, b)
		}
	}
}

func TestClose(t *testing.T) {
	long := strings.Repeat("é", 100)
	for _, c := range []struct {
		code         Code
		reason, want string
	}{{ClosePolicy, "too much", "too much"}, {CloseNone, "never sent", ""}, {CloseGoingAway, long, long[:122]}} {
		b := AppendClose(nil, c.code, c.reason)
		h, n, err := ParseHeader(b)
		if err != nil || h.Opcode != Close || !h.Final || int(h.Length) != len(b)-n {
			t.Fatalf("%+v: %+v, %v", c, h, err)
		}
		if code, reason, err := ParseClose(b[n:]); code != c.code || reason != c.want || err != nil {
			t.Errorf("%+v: %d %q, %v", c, code, reason, err)
		}
	}
	for _, bad := range [][]byte{{3}, {0, 0}, {3, 0xed}, {3, 0xee}, {3, 0xe8, 0xff}, {0xff, 0xff}} {
		if code, reason, err := ParseClose(bad); err == nil {
			t.Errorf("%x is %d %q", bad, code, reason)
		}
	}
}

// stock is a connection of the library whose other end is ours.
func stock(t testing.TB) (theirs *library.Conn, ours net.Conn) {
	t.Helper()
	listener := fasthttputil.NewInmemoryListener()
	upgrader := library.FastHTTPUpgrader{}
	upgraded := make(chan *library.Conn)
	done := make(chan struct{})
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		_ = upgrader.Upgrade(ctx, func(c *library.Conn) { upgraded <- c; <-done })
	}}
	go func() { _ = server.Serve(listener) }()
	ours, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(done); ours.Close(); listener.Close() })
	if _, err := ours.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		if _, err := io.ReadFull(ours, one); err != nil {
			t.Fatalf("%v after %q", err, head)
		}
	}
	return <-upgraded, ours
}

// What the library sends is read here, and what is written here the library reads: whole, in fragments, with a ping
// between them.
func TestAgainstTheLibrary(t *testing.T) {
	theirs, ours := stock(t)
	payload := []byte(strings.Repeat("payload ", 20_000))
	got := make(chan []byte, 1)
	go func() {
		if err := theirs.WriteMessage(library.BinaryMessage, payload); err != nil {
			t.Error(err)
		}
		_, message, err := theirs.ReadMessage()
		if err != nil {
			t.Error(err)
		}
		got <- message
	}()
	if err := ours.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, HeaderBytesMax)
	if _, err := io.ReadFull(ours, b[:10]); err != nil {
		t.Fatal(err)
	}
	h, n, err := ParseHeader(b[:10])
	if err != nil || n != 10 || h.Opcode != Binary || int(h.Length) != len(payload) || h.Masked {
		t.Fatalf("%+v of %d bytes, %v", h, n, err)
	}
	read := make([]byte, h.Length)
	if _, err := io.ReadFull(ours, read); err != nil || !bytes.Equal(read, payload) {
		t.Fatal("another payload came", err)
	}
	var out []byte
	for i, piece := range [][]byte{payload[:70_000], payload[70_000:70_003], payload[70_003:]} {
		h := Header{Opcode: Continuation, Final: i == 2, Masked: true, Mask: mask, Length: uint64(len(piece))}
		if i == 0 {
			h.Opcode = Binary
		}
		from := len(AppendHeader(out, h))
		out = append(AppendHeader(out, h), piece...)
		Mask(out[from:], mask)
		out = AppendHeader(out, Header{Opcode: Pong, Final: true, Masked: true})
	}
	if _, err := ours.Write(out); err != nil {
		t.Fatal(err)
	}
	if message := <-got; !bytes.Equal(message, payload) {
		t.Fatalf("the library read %d bytes", len(message))
	}
}

// Whatever arrives, ParseHeader does not panic or read beyond it, and what it takes comes back as it was.
func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{0x82, 0xfe, 0x01, 0x00, 1, 2, 3, 4})
	f.Add([]byte{0x88, 2, 3, 0xe8})
	f.Add([]byte{0x02, 127, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:len(b):len(b)]
		h, n, err := ParseHeader(b)
		switch {
		case n < 0 || n > len(b) || n > HeaderBytesMax:
			t.Fatalf("a header of %d bytes in %d", n, len(b))
		case err != nil && n != 0:
			t.Fatal("an error and a header")
		case n > 0 && !bytes.Equal(AppendHeader(nil, h), b[:n]):
			t.Fatalf("%x came back as %x", b[:n], AppendHeader(nil, h))
		}
		code, reason, err := ParseClose(b)
		if err != nil && !errors.Is(err, errClose) {
			t.Fatal(err)
		}
		if err == nil && len(b) <= ControlBytesMax {
			again := AppendClose(nil, code, reason)
			if !bytes.Equal(again[2:], b) {
				t.Fatalf("%x came back as %x", b, again)
			}
		}
	})
}
