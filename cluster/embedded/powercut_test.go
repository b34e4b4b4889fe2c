package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/bench/powercut"
	"github.com/meterd/meterd/bench/testport"
)

// serverEnvironment makes the test binary a server: "ROLE ROUTE ROUTES DIR LAZY". It has to be a process, since its
// disk is taken away. A writer prints the sequence of each message that was acknowledged, a reader the last one that is
// there.
const serverEnvironment = "METERD_EMBEDDED_SERVER"

func TestMain(m *testing.M) {
	switch text := os.Getenv(serverEnvironment); {
	case powercut.IsServer():
		os.Exit(powercut.Main())
	case text != "":
		fmt.Fprintln(os.Stderr, serve(strings.Fields(text)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serve(of []string) error {
	ctx := context.Background()
	s, err := Start(ctx, Options{
		Cluster: "test", Node: "n" + of[1][strings.LastIndex(of[1], ":")+1:], Dir: of[3], Listen: of[1],
		Routes: strings.Split(of[2], ","), Secret: "secret", lazy: of[4] == "true",
	})
	if err != nil {
		return err
	}
	js, err := jetstream.New(s.Conn())
	if err != nil {
		return err
	}
	switch of[0] {
	case "writer":
		return write(ctx, js)
	case "reader":
		return read(ctx, js)
	}
	fmt.Println(0)
	select {} // It is killed.
}

const streamOfTest = "numbers"

func write(ctx context.Context, js jetstream.JetStream) error {
	o := jetstream.StreamConfig{Name: streamOfTest, Subjects: []string{streamOfTest}, Replicas: 3}
	for {
		if _, err := js.CreateStream(ctx, o); err == nil {
			break
		}
		<-time.After(100 * time.Millisecond) // Not all servers are there yet.
	}
	for {
		ack, err := js.Publish(ctx, streamOfTest, nil)
		if err != nil { // The disks are slow, or a leader is elected.
			<-time.After(100 * time.Millisecond)
			continue
		}
		fmt.Println(ack.Sequence)
	}
}

// read prints the last message. Elections may take as long as they like; a stream that the leading server does not know
// 100 times is none.
func read(ctx context.Context, js jetstream.JetStream) error {
	for unknown := 0; unknown < 100; {
		s, err := js.Stream(ctx, streamOfTest)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			unknown++
		}
		if err == nil {
			if info, err := s.Info(ctx); err == nil && info.Cluster != nil && info.Cluster.Leader != "" {
				fmt.Println(info.State.LastSeq)
				return errors.New("it was read")
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	fmt.Println(0)
	return errors.New("there is no stream")
}

// three are servers on disks that can be cut.
type three struct {
	t      *testing.T
	lazy   bool
	routes []string
	lower  []string
	disks  []*powercut.FS
	cmds   []*exec.Cmd
}

// start starts the servers; what the first one prints is returned.
func (h *three) start(role string) *bufio.Scanner {
	h.t.Helper()
	h.disks, h.cmds = nil, nil
	var first *bufio.Scanner
	for i, route := range h.routes {
		f := powercut.MountT(h.t, h.lower[i], powercut.Options{})
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s %v", serverEnvironment, role, route,
			strings.Join(h.routes, ","), filepath.Join(f.Mountpoint(), "nats"), h.lazy))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if i == 0 {
			first = bufio.NewScanner(out)
		}
		h.disks, h.cmds, role = append(h.disks, f), append(h.cmds, cmd), "server"
	}
	return first
}

// cut takes all disks away at once, and then the processes; rest reads what they had printed.
func (h *three) cut(rest func()) {
	h.t.Helper()
	var all sync.WaitGroup
	for i, f := range h.disks {
		all.Go(func() {
			if err := f.CutKeeping(uint64(i + 1)); err != nil {
				h.t.Error(err)
			}
		})
	}
	all.Wait()
	for _, cmd := range h.cmds {
		_ = cmd.Process.Kill() // It may have ended by SIGBUS.
	}
	rest()
	for _, cmd := range h.cmds {
		_ = cmd.Wait()
	}
}

// lost returns how many messages were acknowledged, and how many of them a power cut of all servers at once loses.
func lost(t *testing.T, lazy bool) (acknowledged, lost int) {
	t.Helper()
	h := &three{t: t, lazy: lazy}
	for range 3 {
		h.routes, h.lower = append(h.routes, testport.Free(t)), append(h.lower, t.TempDir())
	}
	written := h.start("writer")
	for acknowledged < 300 && written.Scan() {
		var err error
		if acknowledged, err = strconv.Atoi(written.Text()); err != nil {
			t.Fatal(err)
		}
	}
	h.cut(func() {
		for written.Scan() {
			if n, err := strconv.Atoi(written.Text()); err == nil {
				acknowledged = n
			}
		}
	})
	found := h.start("reader")
	if !found.Scan() {
		t.Fatal("the servers do not come back")
	}
	last, err := strconv.Atoi(found.Text())
	if err != nil {
		t.Fatal(err)
	}
	h.cut(func() {})
	return acknowledged, max(0, acknowledged-last)
}

// TestPowerCut cuts the power of all three servers at once: what they acknowledged is there. Servers that sync as they
// do by default lose it, so that this test can fail.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE, and half a minute")
	}
	if err := powercut.Available(); err != nil {
		t.Fatalf("%v: run `make tools` (fuse3) on a machine with /dev/fuse, or leave this test out with -short", err)
	}
	for range 3 {
		if n, lost := lost(t, false); n < 300 || lost > 0 {
			t.Errorf("of %d acknowledged messages %d are lost", n, lost)
		}
	}
	n, lost := lost(t, true)
	if n < 300 || lost == 0 {
		t.Errorf("of %d messages none is lost by servers that do not sync before they acknowledge", n)
	}
	t.Logf("by default %d of %d acknowledged messages are lost", lost, n)
}
