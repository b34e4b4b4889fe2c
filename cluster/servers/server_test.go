package servers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// Each fault of an operator's server has its sentence.
func TestExamine(t *testing.T) {
	good := func(name string) Server {
		return Server{Name: name, Version: "2.15.2", JetStream: true, SyncAlways: true, PayloadBytes: 1 << 20}
	}
	three := func(change func(*Server)) []Server {
		list := []Server{good("n1"), good("n2"), good("n3")}
		change(&list[1])
		return list
	}
	peers := []Peer{{Name: "n1"}, {Name: "n2"}, {Name: "n3"}}
	for _, c := range []struct {
		want  string
		list  []Server
		peers []Peer
		wrong bool
	}{
		{"", three(func(*Server) {}), peers, false},
		{"", three(func(*Server) {}), nil, false},
		{"", three(func(s *Server) { s.Version = "v3.0.0" }), peers, false},
		{"", three(func(s *Server) { s.PayloadBytes = 8 << 20 }), peers, false},
		{
			"", three(func(s *Server) { *s = good("n4") }),
			[]Peer{{Name: "n1"}, {Name: "n3"}, {Name: "n2", Offline: true}},
			false,
		},
		{
			`server "n2" acknowledges before its disk has the data: set jetstream { sync_interval: always } on it`,
			three(func(s *Server) { s.SyncAlways = false }), peers, true,
		},
		{
			`server "n2" runs NATS 2.12.1: meterd needs 2.15.2 or newer`,
			three(func(s *Server) { s.Version = "2.12.1" }), peers, true,
		},
		{`runs NATS 2.15.2-RC.1`, three(func(s *Server) { s.Version = "2.15.2-RC.1" }), peers, true},
		{`runs NATS devel`, three(func(s *Server) { s.Version = "devel" }), peers, true},
		{
			`server "n2" takes messages of 256 KiB: set max_payload to 1 MiB`,
			three(func(s *Server) { s.PayloadBytes = 256 << 10 }), peers, true,
		},
		{
			`what server "n2" does with its disk cannot be seen: give --nats-monitor`,
			three(func(s *Server) { *s = good("n4") }), peers, false,
		},
		{
			"2 servers with JetStream are seen, 3 replicas were asked for",
			three(func(s *Server) { s.JetStream = false }), nil, false,
		},
	} {
		err := Examine(c.list, c.peers, 3)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, not %q", err, c.want)
		}
		if errors.Is(err, ErrWrong) != c.wrong {
			t.Errorf("%v is wrong: %t", err, !c.wrong)
		}
	}
	if err := fmt.Errorf(
		"look: %w",
		Wrong(errors.New("changed")),
	); !errors.Is(err, ErrWrong) ||
		err.Error() != "look: changed" {
		t.Error(err)
	}
}

func TestOlder(t *testing.T) {
	for version, older := range map[string]bool{
		"2.15.2": false, "v2.15.2": false, "2.15.10": false, "3.0.0": false, "2.16.0-RC.1": false,
		"2.15.1": true, "2.9.99": true, "2.15.2-RC.1": true, "": true, "2.15": true, "x.y.z": true,
	} {
		if isOlder(version, Oldest) != older {
			t.Errorf("version %q", version)
		}
	}
}

func TestOptions(t *testing.T) {
	good := Options{URLs: []string{"nats://u:p@h:4222", "tls://i:4222"}, Monitors: []string{"http://h:8222"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Options){
		"at least one server":                    func(o *Options) { o.URLs = nil },
		"must be nats://":                        func(o *Options) { o.URLs = []string{"http://u:secret@h"} },
		"it is no URL":                           func(o *Options) { o.URLs = []string{"nats://u:secret@h:x"} },
		"belong together":                        func(o *Options) { o.Cert = "c" },
		"needs --nats-monitor":                   func(o *Options) { o.Monitors = nil },
		"is no address of a server's monitoring": func(o *Options) { o.Monitors = []string{"h:8222"} },
	} {
		o := good
		spoil(&o)
		err := o.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

// What is not seen for a moment is no fault; what is seen to be wrong is one at once.
func TestWatchJudges(t *testing.T) {
	w := NewWatch(WatchOptions{})
	for range unseenMax - 1 {
		if w.judge(ErrUnseen); w.Fault() != nil {
			t.Fatal(w.Fault())
		}
	}
	if w.judge(ErrUnseen); !errors.Is(w.Fault(), ErrUnseen) {
		t.Fatal(w.Fault())
	}
	if w.judge(nil); w.Fault() != nil {
		t.Fatal(w.Fault())
	}
	for range 2 * unseenMax { // A stream that does not answer says nothing about disks.
		if w.judge(fmt.Errorf("look at the streams: %w", context.DeadlineExceeded)); w.Fault() != nil {
			t.Fatal(w.Fault())
		}
	}
	if w.judge(Wrong(errors.New("late"))); !errors.Is(w.Fault(), ErrWrong) {
		t.Fatal(w.Fault())
	}
}

// A server that is seen to be wrong is a fault although a stream does not answer; one that is not seen is none, then.
func TestWatchWithoutStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list []Server
		w := NewWatch(WatchOptions{
			Ask:      func(ctx context.Context) ([]Server, error) { return list, ctx.Err() },
			Peers:    func(ctx context.Context) ([]Peer, error) { <-ctx.Done(); return nil, ctx.Err() },
			Replicas: 3,
		})
		for _, isWrong := range []bool{false, true} {
			if isWrong {
				list = []Server{{Name: "n1", Version: Oldest, JetStream: true}}
			}
			err := w.Look(t.Context())
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnseen) || errors.Is(err, ErrWrong) != isWrong {
				t.Fatal(err)
			}
		}
	})
}

func FuzzServer(f *testing.F) {
	f.Add([]byte(`{"server_name":"n","version":"2.15.2","max_payload":1,"jetstream":{"config":{"sync_always":true}}}`))
	f.Add([]byte(`{"server":{"name":"n"},"data":{"server_name":"n","version":"2.15.2","jetstream":{}}}`))
	f.Add([]byte(`{"error":{"description":"no"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeServer(b)
		if err == nil && (s.Name == "" || s.Version == "" || s.SyncAlways && !s.JetStream) {
			t.Fatalf("%+v", s)
		}
	})
}
