package jetlog

import (
	"context"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	commitlog "github.com/meterd/meterd/retention/log"
)

// scripted is a stream without chance: fate says of each message that is sent whether it is stored and acknowledged.
type scripted struct {
	*fakeStream
	sent int
	fate func(n int) (stored, acknowledged bool)
	seen func(Stored) Stored // what Read makes of a message
}

func newScripted() *scripted { return &scripted{fakeStream: newFakeStream(1, 0)} }

func (s *scripted) Publish(ctx context.Context, after uint64, b []byte) error {
	stored, acknowledged := true, true
	if s.fate != nil {
		stored, acknowledged = s.fate(s.sent)
	}
	s.sent++
	if !stored {
		return errFake
	}
	err := s.fakeStream.Publish(ctx, after, b)
	if !acknowledged {
		return errFake
	}
	return err
}

func (s *scripted) Read(ctx context.Context, from uint64, bytesMax int) ([]Stored, error) {
	list, err := s.fakeStream.Read(ctx, from, bytesMax)
	if s.seen != nil {
		for i := range list {
			list[i] = s.seen(list[i])
		}
	}
	return list, err
}

func openFollower(t *testing.T, s Stream, l *commitlog.Log, name string) *Follower {
	t.Helper()
	f, err := Open(t.Context(), optionsOf(s, l, name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func catchUp(t *testing.T, f *Follower) {
	t.Helper()
	for n := 1; n > 0; {
		var err error
		if n, err = f.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// own opens new segments, reads the stream to its end and claims the cell.
func own(t *testing.T, s Stream, name string) *Log {
	t.Helper()
	segments := openSegments(t)
	f := openFollower(t, s, segments, name)
	catchUp(t, f)
	l, err := f.Claim()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustAppend(t *testing.T, l *Log, g *commitlog.Group) {
	t.Helper()
	if err := l.Append(g); err != nil {
		t.Fatal(err)
	}
}

// sameLog fails unless a new copy of the stream has what l has.
func sameLog(t *testing.T, s Stream, l *Log) {
	t.Helper()
	copied := openSegments(t)
	defer func() { _ = copied.Close() }()
	catchUp(t, openFollower(t, s, copied, "copy"))
	last, _, chain := l.Last()
	if seq, _, got := copied.Last(); seq != last || got != chain {
		t.Fatalf("a copy ends with group %d and chain %x, the owner with group %d and chain %x", seq, got, last, chain)
	}
}

const partsOfBig = 3

func bigGroup(seq uint64) *commitlog.Group {
	return testGroup(seq, byte(seq), 10, payloadBytesMax, payloadBytesMax, payloadBytesMax)
}

// The connection breaks at each message of a group, before or behind it, once: the group is stored once.
func TestCutAtEachMessage(t *testing.T) {
	for cut := range partsOfBig + 1 {
		for _, stored := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				l := own(t, s, "n1")
				mustAppend(t, l, testGroup(1, 1, 5, 6))
				from := s.sent
				s.fate = func(n int) (bool, bool) { return n != from+cut || stored, n != from+cut }
				mustAppend(t, l, bigGroup(2))
				s.fate = nil
				mustAppend(t, l, testGroup(3, 3, 5, 6))
				if want := 1 + 1 + partsOfBig + 1 + 1; len(s.messages) != want {
					t.Fatalf("cut %d, stored %t: %d messages, %d are needed", cut, stored, len(s.messages), want)
				}
				sameLog(t, s, l)
			})
		}
	}
}

// The connection breaks for good within a group: its owner gives up. What it left is dropped by the next epoch, unless
// the head came through.
func TestOwnerCutOff(t *testing.T) {
	for cut := range partsOfBig + 1 {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			l := own(t, s, "n1")
			mustAppend(t, l, testGroup(1, 1, 5, 6))
			from := s.sent
			s.fate = func(n int) (bool, bool) { return n <= from+cut, n < from+cut }
			deaf := &deafStream{scripted: s}
			l.sender.stream = deaf
			if err := l.Append(bigGroup(2)); !errors.Is(err, ErrUnsettled) {
				t.Fatal(err)
			}
			if err := l.Append(bigGroup(2)); !errors.Is(err, ErrUnsettled) {
				t.Fatalf("an owner that gave up appends: %v", err)
			}
			if err := l.Barrier(); !errors.Is(err, ErrUnsettled) {
				t.Fatalf("an owner that gave up proves that it owns: %v", err)
			}
			s.fate = nil
			next := own(t, s, "n2")
			want := uint64(1)
			if cut == partsOfBig {
				want = 2 // It is whole in the stream, although its owner does not know.
			}
			if last, _, _ := next.Last(); last != want {
				t.Fatalf("%d messages came through: the log ends with group %d, not %d", cut+1, last, want)
			}
			mustAppend(t, next, bigGroup(want+1))
			sameLog(t, s, next)
		})
	}
}

// deafStream cannot be read.
type deafStream struct{ *scripted }

func (*deafStream) Read(context.Context, uint64, int) ([]Stored, error) { return nil, errFake }

// A late message of a deposed owner never follows the epoch that deposed it, in whatever part of a group it was cut
// off: it expects a message of its own.
func TestLateMessages(t *testing.T) {
	for cut := range partsOfBig + 1 {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			l := own(t, s, "n1")
			from := s.sent
			var late []Stored
			s.fate = func(n int) (bool, bool) { return n < from+cut, n < from+cut }
			l.sender.stream = &lateStream{scripted: s, late: &late}
			if err := l.Append(bigGroup(1)); !errors.Is(err, ErrUnsettled) {
				t.Fatal(err)
			}
			s.fate = nil
			next := own(t, s, "n2")
			for range 2 {
				for _, m := range late {
					s.mu.Lock()
					s.store(m.Seq, m.Data)
					s.mu.Unlock()
				}
				mustAppend(t, next, testGroup(next.lastGroup()+1, 5, 6))
			}
			sameLog(t, s, next)
		})
	}
}

func (l *Log) lastGroup() uint64 {
	last, _, _ := l.Last()
	return last
}

// lateStream cannot be read, and remembers what was sent.
type lateStream struct {
	*scripted
	late *[]Stored
}

func (s *lateStream) Publish(ctx context.Context, after uint64, b []byte) error {
	*s.late = append(*s.late, Stored{after, b})
	return s.scripted.Publish(ctx, after, b)
}

func (*lateStream) Read(context.Context, uint64, int) ([]Stored, error) { return nil, errFake }

// An owner that others have deposed learns it with its next message, and says nothing more.
func TestDeposedOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		old := own(t, s, "n1")
		mustAppend(t, old, testGroup(1, 1, 5, 6))
		if err := old.Barrier(); err != nil {
			t.Fatal(err)
		}
		next := own(t, s, "n2")
		if err := old.Barrier(); !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), `"n2" began epoch 2`) {
			t.Fatal(err)
		}
		if err := old.Append(testGroup(2, 9, 1)); !errors.Is(err, ErrFenced) {
			t.Fatal(err)
		}
		mustAppend(t, next, testGroup(2, 2, 1))
		sameLog(t, s, next)
	})
}

// Of two that claim at once one succeeds. The other one reads on and may claim again.
func TestTwoClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		mustAppend(t, own(t, s, "n1"), testGroup(1, 1, 5, 6))
		a, b := openFollower(t, s, openSegments(t), "n2"), openFollower(t, s, openSegments(t), "n3")
		catchUp(t, a)
		catchUp(t, b)
		first, err := a.Claim()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Claim(); !errors.Is(err, ErrOvertaken) {
			t.Fatal(err)
		}
		mustAppend(t, first, testGroup(2, 2, 1))
		catchUp(t, b)
		second, err := b.Claim()
		if err != nil || second.Epoch() != 3 {
			t.Fatal(err)
		}
		_, _ = first.Close(), second.Close()
	})
}

// The epoch's acknowledgement is lost: it has begun all the same, once.
func TestClaimWithoutAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.fate = func(n int) (bool, bool) { return true, n != 0 }
		l := own(t, s, "n1")
		mustAppend(t, l, testGroup(1, 1, 5, 6))
		if len(s.messages) != 2 {
			t.Fatalf("%d messages", len(s.messages))
		}
		sameLog(t, s, l)
	})
}

// Each barrier is a message of its own: what was sent before proves nothing.
func TestEachBarrierIsSent(t *testing.T) {
	s := newScripted()
	l := own(t, s, "n1")
	t.Cleanup(func() { _ = l.Close() })
	for range 3 {
		before := len(s.messages)
		if err := l.Barrier(); err != nil {
			t.Fatal(err)
		}
		if len(s.messages) != before+1 {
			t.Fatal("no message proves it")
		}
	}
}

// A replica that lost or damaged messages does not hurt: the one that leads is asked.
func TestDamagedReplica(t *testing.T) {
	s := newScripted()
	l := own(t, s, "n1")
	for seq := uint64(1); seq <= 5; seq++ {
		mustAppend(t, l, testGroup(seq, byte(seq), 5, 6))
	}
	for _, seen := range []func(Stored) Stored{
		func(m Stored) Stored {
			if m.Seq == 3 {
				m.Data = append([]byte(nil), m.Data...)
				m.Data[70] ^= 1
			}
			return m
		},
		func(m Stored) Stored {
			if m.Seq == 3 {
				m.Seq = math.MaxUint32 // It is not where it belongs.
			}
			return m
		},
	} {
		s.seen = seen
		sameLog(t, s, l)
	}
}

// What does not fit together is refused when a node starts, with a reason.
func TestRefusedAtOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		l := own(t, s, "n1")
		for seq := uint64(1); seq <= 6; seq++ {
			mustAppend(t, l, testGroup(seq, byte(seq), 5, 6))
		}
		all := s.messages
		whole := l.Log

		s.messages = all[:5] // Groups 5 and 6 are lost.
		refused(t, s, whole, ErrShorter)
		s.messages = nil
		refused(t, s, whole, ErrShorter)
		s.messages = all[4:] // It begins with group 4.
		refused(t, s, openSegments(t), ErrLeftBehind)
		s.messages = all

		other := openSegments(t)
		for seq := uint64(1); seq <= 3; seq++ {
			if err := other.Append(testGroup(seq, 99, 5, 6)); err != nil {
				t.Fatal(err)
			}
		}
		refused(t, s, other, ErrDamaged)
		if f := openFollower(t, s, whole, "n1"); f.r.at != uint64(len(all)) || f.r.epoch != 1 {
			t.Fatalf("it goes on behind message %d in epoch %d", f.r.at, f.r.epoch)
		}
		_ = other.Close()
	})
}

func refused(t *testing.T, s Stream, segments *commitlog.Log, want error) {
	t.Helper()
	if _, err := Open(t.Context(), optionsOf(s, segments, "n9")); !errors.Is(err, want) {
		t.Fatalf("%v, not %v", err, want)
	}
}

// A new stream goes on where the segments of a node end that was alone.
func TestBeginsBehindSegments(t *testing.T) {
	segments := openSegments(t)
	for seq := uint64(1); seq <= 3; seq++ {
		if err := segments.Append(testGroup(seq, 1, 5, 6)); err != nil {
			t.Fatal(err)
		}
	}
	s := newScripted()
	o := optionsOf(s, segments, "n1")
	o.Begins = true
	f, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.Claim()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	mustAppend(t, l, testGroup(4, 4, 5))
	if _, err := Open(t.Context(), optionsOf(s, openSegments(t), "n2")); !errors.Is(err, ErrLeftBehind) {
		t.Fatal(err)
	}
	if f := openFollower(t, s, segments, "n1"); f.r.at != 2 {
		t.Fatal(f.r.at)
	}
}

// A newer meterd writes records that this one does not know: it stops following.
func TestNewerRecords(t *testing.T) {
	s := newScripted()
	segments := openSegments(t)
	o := optionsOf(s, segments, "n1")
	o.Records = 9
	f, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Claim(); err != nil {
		t.Fatal(err)
	}
	_, err = openFollower(t, s, openSegments(t), "n2").Step(t.Context())
	if err == nil || !strings.Contains(err.Error(), "install a newer meterd") {
		t.Fatal(err)
	}
}

// An acknowledgement counts only if it is of the message that was sent, at its place.
func TestAcknowledgementElsewhere(t *testing.T) {
	j := &JetStream{name: "M_a_0"}
	for _, ack := range []jetstream.PubAck{
		{Stream: "M_a_0", Sequence: 6},
		{Stream: "M_a_0", Sequence: 8},
		{Stream: "M_b_0", Sequence: 7},
		{Stream: "M_a_0", Sequence: 7, Duplicate: true},
	} {
		if j.check(&ack, 7) == nil {
			t.Errorf("%+v is taken for message 7", ack)
		}
	}
}

// Whatever could lose a group, or mixes two clusters, is refused by name.
func TestExamineStream(t *testing.T) {
	s := Settings{Cluster: "demo", Cell: 3, Replicas: 3}
	made := Made{Identity: Identity{1, 2, 3}, Origin: Identity{3}, Seed: [16]byte{4}, Cells: 12, Replicas: 3}
	good := s.config(made)
	if got, err := s.Examine(good); err != nil || got != made {
		t.Fatal(got, err)
	}
	for want, other := range map[string]Settings{
		"made with --cells 12, which is for ever: --cells 4 is refused": {Cluster: "demo", Cell: 3, Cells: 4},
		"made with --replicas 3, which is for ever: --replicas 1":       {Cluster: "demo", Cell: 3, Replicas: 1},
	} {
		if _, err := other.Examine(good); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	for want, change := range map[string]func(*jetstream.StreamConfig){
		"has 1 replicas, 3 were asked for": func(c *jetstream.StreamConfig) { c.Replicas = 1 },
		"is not stored in files":           func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"persist_mode":                     func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode },
		"has the retention":                func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"drops old groups":                 func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"has max_age":                      func(c *jetstream.StreamConfig) { c.MaxAge = 1 },
		"has max_msgs":                     func(c *jetstream.StreamConfig) { c.MaxMsgs = 5 },
		"has max_msgs_per_subject":         func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"takes messages of 1000 bytes":     func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
		"lets messages be deleted":         func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"allow_rollup_hdrs":                func(c *jetstream.StreamConfig) { c.AllowRollup = true },
		"allow_msg_ttl":                    func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"set allow_direct":                 func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"acknowledges nothing":             func(c *jetstream.StreamConfig) { c.NoAck = true },
		"is sealed":                        func(c *jetstream.StreamConfig) { c.Sealed = true },
		"copies from other streams":        func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{} },
		"changes subjects": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{}
		},
		"takes the subjects": func(c *jetstream.StreamConfig) { c.Subjects = []string{"a"} },
		"choose another --cluster name": func(c *jetstream.StreamConfig) {
			c.Metadata = maps.Clone(c.Metadata)
			c.Metadata[metadataCluster] = "other"
		},
		"not made by this meterd": func(c *jetstream.StreamConfig) { c.Metadata = nil },
	} {
		c := s.config(made)
		change(&c)
		if _, err := s.Examine(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	s.Origin = Identity{9}
	if _, err := s.Examine(good); err == nil || !strings.Contains(err.Error(), "belongs to cluster") {
		t.Errorf("another cluster of the same name: %v", err)
	}
}

// A cell that is yielded is the named node's at once, and the old owner proves and appends nothing any more.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newFakeStream(1, 0)
		old := claim(t, stream, Identity{7}, "n1")
		if err := old.Append(testGroup(1, 1, 5)); err != nil {
			t.Fatal(err)
		}
		f, err := Open(t.Context(), optionsOf(stream, openSegments(t), "n2"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.o.Segments.Close() })
		if err := old.Yield(""); err == nil {
			t.Fatal("yielded to nobody")
		}
		if err := old.Barrier(); err != nil {
			t.Fatal(err)
		}
		if err := old.Yield("n2"); err != nil {
			t.Fatal(err)
		}
		if err := old.Barrier(); !errors.Is(err, ErrYielded) {
			t.Fatalf("a barrier behind a yield: %v", err)
		}
		if err := old.Append(testGroup(2, 1, 5)); !errors.Is(err, ErrYielded) {
			t.Fatalf("a group behind a yield: %v", err)
		}
		if catchUp(t, f); f.Yielded() != "n2" || f.OwnerClock() == 0 {
			t.Fatal(f.Yielded(), f.OwnerClock())
		}
		l, err := f.Claim()
		if err != nil || l.Epoch() != 2 {
			t.Fatal(l, err)
		}
		if err := l.Append(testGroup(2, 2, 5)); err != nil {
			t.Fatal(err)
		}
		if copied := copyOf(t, stream, Identity{7}, 2); copied == nil {
			t.Fatal("nothing can be read behind a yield")
		}
	})
}

// An owner's clock that leaps ahead must not be what others are compared with: they could not take the cell over (R12).
func TestBarrierOfAClockThatLeaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newFakeStream(1, 0)
		var ahead time.Duration
		o := optionsOf(stream, openSegments(t), "n1")
		o.Now = func() time.Time { return time.Now().Add(ahead) }
		f, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		owner, err := f.Claim()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = owner.Close() })
		standby := openFollower(t, stream, openSegments(t), "n2")
		t.Cleanup(func() { _ = standby.o.Segments.Close() })
		for _, c := range []struct{ leap, told time.Duration }{
			{0, 0}, {time.Minute, time.Minute}, {2 * time.Hour, 0}, {-2 * time.Hour, -2 * time.Hour},
		} {
			time.Sleep(time.Minute) // Of the test's own clock.
			ahead = c.leap
			if err := owner.Barrier(); err != nil {
				t.Fatal(err)
			}
			want := time.Now().Add(c.told).UnixMilli()
			if _, err := standby.Step(t.Context()); err != nil || standby.OwnerClock() != want {
				t.Errorf("a leap of %v: %d is told, not %d: %v", c.leap, standby.OwnerClock(), want, err)
			}
		}
	})
}
