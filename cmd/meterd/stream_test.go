package main_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"

	frames "github.com/meterd/meterd/event/wire"
)

// gatewayStream is a stock WebSocket client on /v1/stream.
type gatewayStream struct {
	conn    *library.Conn
	welcome frames.Welcome
}

// stream opens a stream of a producer with a token and reads the welcome.
func (d *daemon) stream(token, producer string) (*gatewayStream, error) {
	dialer := library.Dialer{Subprotocols: []string{"meterd.v1"}, HandshakeTimeout: patience}
	if transport, ok := d.http.Transport.(*http.Transport); ok && transport.TLSClientConfig != nil {
		dialer.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs}
	}
	conn, resp, err := dialer.Dial(strings.Replace(d.scheme, "http", "ws", 1)+"://"+d.run.address+"/v1/stream",
		http.Header{"Authorization": {"Bearer " + token}, "Meterd-Producer": {producer}})
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	s := &gatewayStream{conn: conn}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	f, err := s.next()
	if err == nil {
		s.welcome, err = frames.DecodeWelcome(f.Body)
	}
	return s, err
}

func (s *gatewayStream) next() (frames.Frame, error) {
	_, message, err := s.conn.ReadMessage()
	if err != nil {
		return frames.Frame{}, err
	}
	return frames.DecodeFrame(message)
}

func (s *gatewayStream) send(sequence uint64, batch []byte) error {
	f := frames.Frame{Sequence: sequence, Kind: frames.FrameBatch, Body: batch}
	return s.conn.WriteMessage(library.BinaryMessage, frames.AppendFrame(nil, &f))
}

// mustStream is stream for one that must open.
func (d *daemon) mustStream(token, producer string) *gatewayStream {
	d.t.Helper()
	s, err := d.stream(token, producer)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { s.conn.Close() })
	return s
}

// accepts reads the answer to a sequence, all of whose events must be accepted.
func (s *gatewayStream) accepts(t *testing.T, sequence uint64, events uint32) {
	t.Helper()
	f, err := s.next()
	var a frames.Answer
	if err == nil {
		err = a.Decode(f.Body)
	}
	if err != nil || f.Kind != frames.FrameAnswer || f.Sequence != sequence || a.Accepted != events || len(a.Denied) > 0 {
		t.Fatalf("frame %d of sequence %d: %+v, %v", f.Kind, f.Sequence, a, err)
	}
}

// ends reads up to the end of the stream, which must have a code.
func (s *gatewayStream) ends(t *testing.T, code int) {
	t.Helper()
	for {
		_, err := s.next()
		var e *library.CloseError
		switch {
		case err == nil:
		case errors.As(err, &e) && e.Code == code:
			return
		default:
			t.Fatalf("the stream ended with %v, want %d", err, code)
		}
	}
}

// gatewayToken makes a token of the role gateway.
func (d *daemon) gatewayToken(name string) string {
	d.t.Helper()
	var made struct{ Token string }
	d.must("POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"role":"gateway"}`, name), &made)
	return made.Token
}

// protoBatch is a batch of one product and one device.
func protoBatch(t *testing.T, product, device, kind string, n int) []byte {
	t.Helper()
	return protoc(t, "--encode=meterd.v1.Batch", fmt.Appendf(nil, "products: %q devices: %q %s",
		product, device, strings.Repeat("types: TYPE_"+strings.ToUpper(kind)+" ", n)))
}

// TestStreamKilled: kill -9 at random instants while a stream is full. Who goes on with the unanswered sequences has
// each batch counted once, and every answer in its place.
func TestStreamKilled(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":null}`)
	token := d.gatewayToken("gw")
	dice := rand.New(rand.NewPCG(seed(t), 1))
	connect, up := protoBatch(t, "p1", "d1", "connect", 1), protoBatch(t, "p1", "d1", "up", 3)
	d.mustStream(token, "first").decides(t, connect)
	const batches = 6000
	answered, sent, kills, replays := uint64(0), uint64(0), 0, 0
	var killers sync.WaitGroup
	for answered < batches {
		s, err := d.stream(token, "gw-1")
		if err != nil {
			d.awaitExit(-1) // It was killed, and may have its data directory for a moment more.
			d.start()
			continue
		}
		if w := s.welcome; answered > 0 && (!w.HasSequences || w.LastSequence < answered || w.LastSequence > max(sent, 1)) {
			t.Fatalf("%d were answered, %d sent, and the welcome is %+v", answered, sent, w)
		}
		sent = answered
		if killAt := answered + 1 + dice.Uint64N(batches/4); kills < 5 {
			r, n := d.run, killAt-answered
			killers.Go(func() {
				<-time.After(time.Duration(n) * 20 * time.Microsecond)
				_ = r.cmd.Process.Kill()
			})
			kills++
		}
		for err == nil && answered < batches {
			for err == nil && sent < batches && sent-answered < uint64(s.welcome.Credit) {
				sent++
				err = s.send(sent, up)
			}
			if err != nil {
				break
			}
			var f frames.Frame
			if f, err = s.next(); err != nil {
				break
			}
			var a frames.Answer
			if f.Kind == frames.FrameCredit {
				continue
			}
			if err := a.Decode(
				f.Body,
			); err != nil || f.Kind != frames.FrameAnswer || f.Sequence != answered+1 ||
				a.Accepted != 3 {
				t.Fatalf("behind %d came %+v %+v, %v", answered, f, a, err)
			}
			if answered++; f.Replayed {
				replays++
			}
		}
		s.conn.Close()
		if err != nil {
			<-d.run.exited
		}
	}
	t.Logf("%d kills, %d answers were given again", kills, replays)
	killers.Wait() // The last one may come after all is answered.
	d.kill()
	d.start()
	if v := d.device("p1", "d1"); v.Messages.Up != 3*batches {
		t.Errorf("%d messages were counted, %d were sent", v.Messages.Up, 3*batches)
	}
}

// decides sends a batch of one event without a sequence, which must be accepted.
func (s *gatewayStream) decides(t *testing.T, batch []byte) {
	t.Helper()
	if err := s.send(0, batch); err != nil {
		t.Fatal(err)
	}
	s.accepts(t, 0, 1)
}

// TestStreamOfTheBinary: over TLS and over TCP a stream decides, shares its sequences with HTTP, leaves others alone
// while its client sends rubbish or reads nothing, ends with its token, and ends with 1001 at SIGTERM.
func TestStreamOfTheBinary(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			d := daemonAt(t, filepath.Join(t.TempDir(), "data"))
			if scheme == "https" {
				a := newAuthority(t, t.TempDir(), "ca")
				a.issue("server")
				d.flags = []string{"--tls-cert", a.path("server.pem"), "--tls-key", a.path("server.key")}
				d.speakTLS(a)
			}
			d.start()
			checkStream(t, d)
		})
	}
}

func checkStream(t *testing.T, d *daemon) {
	t.Helper()
	d.withProduct("p1", `{"messages_per_day":100}`)
	token, brief := d.gatewayToken("gw"), d.gatewayToken("brief")
	connect, up := protoBatch(t, "p1", "d1", "connect", 1), protoBatch(t, "p1", "d1", "up", 1)
	s := d.mustStream(token, "gw-1")
	s.decides(t, connect)
	if err := s.send(5, up); err != nil {
		t.Fatal(err)
	}
	s.accepts(t, 5, 1)
	overHTTP, err := d.try("POST", "/v1/events", up, "Content-Type", asProtobuf, "Meterd-Producer", "gw-1",
		"Meterd-Sequence", "5", "Authorization", "Bearer "+token)
	if err != nil || overHTTP.status != 200 || overHTTP.header.Get("Meterd-Replayed") != "true" {
		t.Errorf("the same sequence over HTTP: %+v, %v", overHTTP, err)
	}

	slow := d.mustStream(token, "slow") // It reads nothing.
	many := protoBatch(t, "p1", "d2", "up", 20_000)
	for range slow.welcome.Credit {
		if err := slow.send(0, many); err != nil {
			t.Fatal(err)
		}
	}
	revoked := d.mustStream(brief, "brief")
	d.must("DELETE", "/v1/tokens/brief", "", nil)
	revoked.ends(t, 1008)
	hostile := d.mustStream(token, "hostile")
	if _, err := hostile.conn.NetConn().Write([]byte("\xff\xff\xff\xff")); err != nil {
		t.Fatal(err)
	}
	hostile.ends(t, 1002)
	flood := d.mustStream(token, "flood")
	for range flood.welcome.Credit + 1 { // More than may be in flight, unless the disk is as fast as this.
		if err := flood.send(0, up); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	for range 10 {
		s.decides(t, up)
	}
	// s and slow; the others are there until their ends have been noticed.
	if got := d.metric("meterd_streams"); got < "2" || len(got) != 1 {
		t.Errorf("meterd_streams is %s", got)
	}
	if err := slow.conn.NetConn().Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := s.send(9, up); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGTERM)
	s.ends(t, 1001)
	d.awaitExit(0)
}
