package jetlog

import (
	"bytes"
	"reflect"
	"testing"

	commitlog "github.com/meterd/meterd/retention/log"
)

// testGroup is a group with a head and chunks of these lengths, whose bytes depend on seed.
func testGroup(seq uint64, seed byte, head int, chunks ...int) *commitlog.Group {
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7) + seed
		}
		return b
	}
	g := &commitlog.Group{Seq: seq, FirstMs: int64(seq), LastMs: int64(seq), Head: fill(head)}
	for _, n := range chunks {
		g.Chunks = append(g.Chunks, fill(n))
	}
	return g
}

func sameContent(a, b *commitlog.Group) bool {
	return a.Seq == b.Seq && a.FirstMs == b.FirstMs && a.LastMs == b.LastMs && bytes.Equal(a.Head, b.Head) &&
		len(a.Chunks) == len(b.Chunks) && reflect.DeepEqual(append([][]byte{}, a.Chunks...), append([][]byte{}, b.Chunks...))
}

// A group of any size comes back whole from its messages.
func TestGroupThroughMessages(t *testing.T) {
	for _, sizes := range [][]int{
		{0},
		{5},
		{5, 1},
		{0, 3, 4},
		{MessageBytesMax},
		{payloadBytesMax - 84},
		{payloadBytesMax - 83},
		{payloadBytesMax},
		{10, MessageBytesMax, 1},
		{3, 2 * MessageBytesMax, 5 * MessageBytesMax, 7},
	} {
		g := testGroup(1, 9, sizes[0], sizes[1:]...)
		id := Identity{1, 2}
		list, err := messagesOf(g, commitlog.Chain{}, id, 3)
		if err != nil {
			t.Fatal(err)
		}
		r := reader{stream: id}
		for i, b := range list {
			if len(b) > MessageBytesMax {
				t.Fatalf("sizes %d: a message of %d bytes", sizes, len(b))
			}
			got, err := r.take(Stored{uint64(i + 1), b})
			if err != nil {
				t.Fatal(err)
			}
			if (got != nil) != (i == len(list)-1) {
				t.Fatalf("sizes %d: a group with message %d of %d", sizes, i+1, len(list))
			}
			if got != nil && !sameContent(got, g) {
				t.Fatalf("sizes %d: another group came back", sizes)
			}
		}
	}
}

// Every bit of a message counts.
func TestMessageFlips(t *testing.T) {
	list, err := messagesOf(testGroup(7, 1, 20, 30), commitlog.Chain{4}, Identity{1}, 2)
	if err != nil {
		t.Fatal(err)
	}
	whole := list[0]
	want, err := decodeMessage(whole)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			if m, err := decodeMessage(b); err == nil {
				t.Fatalf("bit %d of byte %d does not count: %v for %v", bit, at, m, want)
			}
		}
		if _, err := decodeMessage(whole[:at]); err == nil {
			t.Fatalf("%d of %d bytes are a message", at, len(whole))
		}
	}
}

// What decodes is what would be written.
func FuzzMessage(f *testing.F) {
	list, err := messagesOf(testGroup(7, 1, 20, 30), commitlog.Chain{4}, Identity{1}, 2)
	if err != nil {
		f.Fatal(err)
	}
	e := epochBegin{nonce: 1, atMs: 2, records: 3, chain: commitlog.Chain{4}, node: "n1"}
	for _, m := range []message{
		{kind: kindEpoch, epoch: 1, payload: e.append(nil)},
		{kind: kindBarrier, epoch: 9, group: 4, payload: make([]byte, barrierBytes)},
		{kind: kindYield, epoch: 9, group: 4, payload: []byte("n2")},
		{kind: kindPart, epoch: 9, group: 4, part: 3, payload: []byte("abc")},
	} {
		f.Add(m.append(nil))
	}
	f.Add(list[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMessage(b); err == nil && !bytes.Equal(m.append(nil), b) {
			t.Fatalf("%x decodes to %v", b, m)
		}
	})
}

func FuzzEpoch(f *testing.F) {
	e := epochBegin{nonce: 1, atMs: 2, records: 3, chain: commitlog.Chain{4}, node: "n1"}
	f.Add(e.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeEpoch(b); err == nil && !bytes.Equal(e.append(nil), b) {
			t.Fatalf("%x decodes to %v", b, e)
		}
	})
}

// The reader takes whatever messages come: it never makes a group that does not continue the one before.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0, 1, 1, 2, 0, 3, 4, 5})
	f.Fuzz(func(t *testing.T, script []byte) {
		id := Identity{5}
		r := reader{stream: id}
		var pool [][]byte
		var before commitlog.Chain
		for seq := uint64(1); seq <= 3; seq++ {
			list, err := messagesOf(testGroup(seq, byte(seq), 10, payloadBytesMax), before, id, 1)
			if err != nil {
				t.Fatal(err)
			}
			head, _ := decodeMessage(list[len(list)-1])
			_, before, _ = commitlog.HeaderChain(head.payload[:head.header])
			pool = append(pool, list...)
		}
		for _, m := range []message{
			{kind: kindBarrier, stream: id, epoch: 1, group: 1, payload: make([]byte, barrierBytes)},
			{kind: kindBarrier, stream: id, epoch: 1, group: 1},
			{kind: kindYield, stream: id, epoch: 1, group: 1, payload: []byte("n2")},
		} {
			pool = append(pool, m.append(nil))
		}
		last := uint64(0)
		for _, x := range script {
			yielded := r.yields != ""
			g, err := r.take(Stored{r.at + 1, pool[int(x)%len(pool)]})
			if yielded && err == nil {
				t.Fatal("something follows a yield")
			}
			if err != nil || g == nil {
				continue
			}
			if last++; g.Seq != last {
				t.Fatalf("group %d comes behind group %d", g.Seq, last-1)
			}
		}
	})
}
