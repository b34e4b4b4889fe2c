package jetlog

import (
	"errors"
	"testing"
)

// A real stream that is purged before a message: who has read it finds on, who is behind is told so.
func TestPurge(t *testing.T) {
	servers := startServers(t, 1)
	j, id := connect(t, servers[0].Conn(), testSettings(1))
	segments, behind := openSegments(t), openSegments(t)
	l := claim(t, j, id, "n1")
	for seq := uint64(1); seq <= 5; seq++ {
		if err := l.Append(testGroup(seq, byte(seq), 5)); err != nil {
			t.Fatal(err)
		}
	}
	follow := func(o Options) (*Follower, error) {
		o.Identity = id
		f, err := Open(t.Context(), o)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = o.Segments.Close() })
		for err == nil && f.r.last < 5 { // An answer may come too late.
			_, err = f.Step(t.Context())
		}
		return f, err
	}
	f, err := follow(optionsOf(j, segments, "n2"))
	if err != nil || f.r.last != 5 {
		t.Fatal(f, err)
	}
	size, err := j.Size(t.Context())
	if err != nil || size.First != 1 || size.Last != 6 || size.Bytes == 0 || size.BytesMax != streamBytesTest {
		t.Fatalf("%+v: %v", size, err)
	}
	if l.Message() != 6 || f.Message() != 6 {
		t.Fatal(l.Message(), f.Message())
	}
	if err := j.Purge(t.Context(), f.Message()); err != nil {
		t.Fatal(err)
	}
	if size, err := j.Size(t.Context()); err != nil || size.First != 6 || size.Last != 6 {
		t.Fatalf("%+v: %v", size, err)
	}
	if err := l.Append(testGroup(6, 1, 5)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), f.o) // As after a restart.
	if err != nil {
		t.Fatal(err)
	}
	reads(t, again, 6)
	if _, err := follow(optionsOf(j, behind, "n3")); !errors.Is(err, ErrLeftBehind) {
		t.Fatal(err)
	}
}

// A group of which only parts were read is no reason to forget them.
func TestPartsAreNotPassed(t *testing.T) {
	stream := newFakeStream(1, 0)
	l := claim(t, stream, Identity{7}, "n1")
	if err := l.Append(testGroup(1, 1, 5, MessageBytesMax, MessageBytesMax)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), optionsOf(stream, openSegments(t), "n2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.o.Segments.Close() })
	list, err := stream.Read(t.Context(), 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		last, message := f.r.last, f.Message()
		if err := f.take(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if f.r.last == last && f.r.parts != nil && f.Message() != message {
			t.Fatalf("message %d is passed with a group that is not whole", f.Message())
		}
	}
	if f.Message() != l.Message() || f.r.last != 1 {
		t.Fatal(f.Message(), l.Message())
	}
}
