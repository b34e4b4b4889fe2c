package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// fate is what becomes of one message of a device: message i is 10+i bytes long, so that the log tells them apart even
// where it has no payload.
type fate int

const (
	fateUnknown fate = iota // the gateway was killed before it said anything
	fatePassed
	fateRefused
	fateAmbiguous
)

// survivor is a device that publishes through one life of the gateway after another.
type survivor struct {
	name  string
	raw   *rawDevice
	fates []fate
}

const firstBytes = 10

// publish sends the next message; false when the gateway is gone.
func (s *survivor) publish() bool {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, TopicName: "t/" + s.name,
		Payload: []byte(strings.Repeat("x", firstBytes+len(s.fates))), PacketID: uint16(1 + len(s.fates)%60000),
	}
	s.fates = append(s.fates, fateUnknown)
	return s.raw.trySend(pk) == nil
}

// hear notes what the gateway says about the last message; false when it is gone.
func (s *survivor) hear() bool {
	pk, err := s.raw.read()
	if err != nil {
		return false
	}
	last := &s.fates[len(s.fates)-1]
	switch reason := pk.Properties.ReasonString; {
	case pk.FixedHeader.Type == packets.Puback && (pk.ReasonCode == 0 || pk.ReasonCode == 0x10):
		*last = fatePassed
	case pk.FixedHeader.Type == packets.Puback && pk.ReasonCode == 0x83 && reason == "unavailable":
		*last = fateRefused
	case pk.FixedHeader.Type == packets.Puback && pk.ReasonCode == 0x83 && reason == "ambiguous":
		*last = fateAmbiguous
	default:
		s.raw.t.Fatalf("%s: packet %d, %#x %q", s.name, pk.FixedHeader.Type, pk.ReasonCode, reason)
	}
	return true
}

// connect dials the gateway until it is let in; false when it is gone.
func (s *survivor) connect(w *world) bool {
	for {
		conn, err := net.Dial("tcp", w.at.mqtt)
		if err != nil {
			return false
		}
		w.t.Cleanup(func() { _ = conn.Close() })
		s.raw = &rawDevice{t: w.t, conn: conn, r: bufio.NewReader(conn), version: 5}
		connect := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 5,
			Connect: packets.ConnectParams{
				ProtocolName: []byte("MQTT"), ClientIdentifier: s.name, Username: []byte("large"), UsernameFlag: true,
				Keepalive: 60, Clean: true,
			},
		}
		if s.raw.trySend(connect) != nil {
			return false
		}
		ack, err := s.raw.read()
		switch {
		case err != nil:
			return false
		case ack.FixedHeader.Type == packets.Connack && ack.ReasonCode == 0:
			return true
		case ack.FixedHeader.Type != packets.Connack || ack.ReasonCode != 0x88:
			w.t.Fatalf("%s: packet %d, %#x", s.name, ack.FixedHeader.Type, ack.ReasonCode)
		}
	}
}

// publishUntilKilled lets all devices publish, a message each at a time, until the gateway is gone. passed is called
// for each that has passed.
func (w *world) publishUntilKilled(devices []*survivor, passed func()) {
	for _, s := range devices {
		if !s.connect(w) {
			return
		}
	}
	for {
		sent := 0
		for _, s := range devices {
			if !s.publish() {
				break
			}
			sent++
		}
		heard := 0
		for _, s := range devices[:sent] { // What is in a connection's buffer can still be read.
			if s.hear() {
				heard++
			}
			if s.fates[len(s.fates)-1] == fatePassed {
				passed()
			}
		}
		if heard < len(devices) {
			return
		}
	}
}

// TestEndToEndKills: the gateway is killed twenty times, in outages and while it sends, and meterd in turns with it.
// What a device was told has passed is counted once and logged once in the end; what it was refused, nowhere.
func TestEndToEndKills(t *testing.T) {
	endToEnd(t)
	for policy, kills := range map[string]int{"open": 20, "last-known": 5} {
		t.Run(policy, func(t *testing.T) {
			endToEnd(t)
			seed := rand.Uint64()
			if given, err := strconv.ParseUint(os.Getenv("METERD_TEST_SEED"), 10, 64); err == nil {
				seed = given
			}
			t.Logf("METERD_TEST_SEED=%d", seed)
			runKills(t, rand.New(rand.NewPCG(seed, 0)), policy, kills)
		})
	}
}

func runKills(t *testing.T, dice *rand.Rand, policy string, kills int) {
	w := newWorldWithoutGateway(t, 20)
	spool := filepath.Join(t.TempDir(), "spool")
	flags := []string{"--on-unavailable", policy, "--ask-timeout", "300ms", "--spool", spool}
	devices := make([]*survivor, 8)
	for i := range devices {
		devices[i] = &survivor{name: fmt.Sprintf("d%d", i)}
	}
	outages, left := 0, 0
	w.startGateway(flags...)
	for i := range kills {
		isOutage := i == 0 || dice.IntN(2) == 0
		after := time.Duration(100+dice.IntN(500)) * time.Millisecond
		killed, passed := make(chan struct{}), make(chan struct{})
		if i > 0 { // Once at least something has passed and is left, however slow the machine is.
			close(passed)
		}
		go func() {
			select {
			case <-passed:
			case <-time.After(patience): // The test has failed.
			}
			if isOutage {
				<-time.After(after)
				w.meterd.kill()
			}
			if i == 0 {
				owed(spool)
			}
			<-time.After(after)
			w.gateway.kill()
			close(killed)
		}()
		w.publishUntilKilled(devices, func() {
			select {
			case <-passed:
			default:
				close(passed)
			}
		})
		<-killed
		names, _ := filepath.Glob(filepath.Join(spool, "*.owed"))
		left += len(names)
		restart := func() {
			if err := w.startMeterd(); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case !isOutage:
			w.startGateway(flags...)
		case policy == "open" && dice.IntN(2) == 0: // The next life begins in the outage.
			outages++
			w.startGateway(flags...)
			restart()
		default:
			outages++
			restart()
			w.startGateway(flags...)
		}
	}
	w.await("everything is reported", func() bool { return w.metric("meterd_gateway_unasked_pending") == "0" })
	names, _ := filepath.Glob(filepath.Join(spool, "*.owed*"))
	if len(names) > 0 || w.metric("meterd_gateway_spool_faults_total") != "0" {
		t.Errorf("%q are left", names)
	}
	sum := w.compareFates(devices)
	t.Logf(
		"%d kills, %d in outages, %d files were left by them: %d passed, each is counted and logged "+
			"once; %d refused, nowhere; of %d that nobody was told about %d are counted",
		kills,
		outages,
		left,
		sum.passed,
		sum.refused,
		sum.unknown,
		sum.logged-sum.passed,
	)
	if left == 0 || sum.passed == 0 {
		t.Error("nothing was left in the spool: the kills came too late")
	}
}

// owed waits until a spool has something.
func owed(spool string) {
	within(patience, func() bool {
		names, _ := filepath.Glob(filepath.Join(spool, "*.owed"))
		return len(names) > 0
	})
}

type fates struct{ passed, refused, unknown, logged int }

// compareFates holds what devices were told against what meterd counts and has in its logs, message by message.
func (w *world) compareFates(devices []*survivor) (sum fates) {
	t := w.t
	t.Helper()
	for _, s := range devices {
		logged := map[int]int{}
		ups := 0
		for _, e := range w.log("large", s.name) {
			if e.Type == "up" && e.Verdict == "accepted" {
				logged[e.Size-firstBytes]++
				ups++
			}
		}
		for i, what := range s.fates {
			times := logged[i]
			delete(logged, i)
			switch {
			case times > 1, what == fatePassed && times == 0, what == fateRefused && times == 1:
				t.Errorf("message %d of %s: told %d, in the log %d times", i, s.name, what, times)
			case what == fatePassed:
				sum.passed++
			case what == fateRefused:
				sum.refused++
			default:
				sum.unknown++
			}
		}
		if len(logged) > 0 {
			t.Errorf("%s: the log has what was never published: %v", s.name, logged)
		}
		if v := w.view("large", s.name); v.Messages.Up != ups || v.Messages.Denied > 0 {
			t.Errorf("%s: %d logged, counted are %+v", s.name, ups, v.Messages)
		}
		sum.logged += ups
	}
	return sum
}
