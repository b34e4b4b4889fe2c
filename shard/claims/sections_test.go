package claims

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/shard/record"
)

// stateOf writes everything that a section holds as text.
func stateOf(ps *Producers) string {
	var b strings.Builder
	_ = ps.Each(func(p *Producer) error {
		fmt.Fprintf(&b, "%d is %d/%s from %d\n", p.Ordinal, p.Account, p.Name, p.floor)
		for i := range p.known.n {
			if c := p.known.value(i); c.kept != undecided {
				seq := p.known.sequence(i)
				fmt.Fprintf(&b, "  %d: %x at %d, %x, long %t, group %d\n",
					seq, c.hash, c.atMs, p.appendAnswer(nil, i), c.kept == keptLong, p.pending[seq].group)
			}
		}
		return nil
	})
	return b.String()
}

// pieces returns what Sections writes.
func pieces(t rapid.TB, ps *Producers, bytesMax int) (list [][]byte) {
	t.Helper()
	err := ps.Sections(bytesMax, func(piece []byte) error {
		if len(piece) == 0 || len(piece) > bytesMax {
			t.Fatalf("a piece of %d bytes, at most %d", len(piece), bytesMax)
		}
		list = append(list, bytes.Clone(piece))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// many returns producers with answers of all lengths.
func many(t testing.TB, producers int) *Producers {
	t.Helper()
	ps := New(Options{})
	for n := range producers {
		p := bind(t, ps, fmt.Sprint("gw-", n))
		for seq := range uint64(7 * n) { // The last ones have sent more than is remembered.
			claimOne(t, p, seq, nil, bytes.Repeat([]byte{byte(seq + 1)}, int(seq*uint64(n))%300+1))
		}
	}
	return ps
}

// What a checkpoint holds comes back from its pieces, each read alone, however often it is read; what is being decided
// is not in it.
func TestSections(t *testing.T) {
	for _, bytesMax := range []int{producerBytesMax, 100_000, 4 << 20} {
		ps := many(t, 60)
		if _, mine, err := ps.Find(1, []byte("gw-3")).begin(Claim{Sequence: 1000}, 1, nil); !mine || err != nil {
			t.Fatal(mine, err)
		}
		back := New(Options{})
		for range 2 {
			for _, piece := range pieces(t, ps, bytesMax) {
				if err := back.LoadSection(piece); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want, got := stateOf(ps), stateOf(back); want != got {
			t.Fatalf("pieces of %d bytes: %d bytes of state are %d", bytesMax, len(want), len(got))
		}
		// What the ledger has since is not written any more.
		back.Passed(1)
		var size, sizeBefore int
		for _, piece := range pieces(t, back, bytesMax) {
			size += len(piece)
		}
		for _, piece := range pieces(t, ps, bytesMax) {
			sizeBefore += len(piece)
		}
		if size >= sizeBefore {
			t.Errorf("%d bytes before the ledger had the long answers, %d after", sizeBefore, size)
		}
	}
}

// A sequence stands behind its producer in a section; in the log it is forgotten with it.
func TestSequenceOfNobody(t *testing.T) {
	ps := many(t, 3)
	entry := pieces(t, ps, 4<<20)[0]
	claimAt := bytes.Index(entry, []byte("gw-1")) + 4
	back := New(Options{})
	n := binary.LittleEndian.Uint32(entry[claimAt:])
	if err := back.LoadSection(entry[claimAt : claimAt+4+int(n)]); err == nil || stateOf(back) != "" {
		t.Fatal(err, stateOf(back))
	}
	if err := back.RestoreClaim(record.Claim{Producer: 7, Sequence: 1}, 1); err != nil || stateOf(back) != "" {
		t.Fatal(err, stateOf(back))
	}
}

// Arbitrary sections are refused, or joined: without a panic, twice over with the same result, and what was joined is
// written and read again.
func FuzzLoadSection(f *testing.F) {
	for _, piece := range pieces(f, many(f, 3), 4<<20) {
		f.Add(piece)
		f.Add(piece[:len(piece)/2])
		f.Add(append(slices.Clone(piece), piece...))
		f.Add(append(slices.Clone(piece), 0))
	}
	for _, ordinal := range []uint32{0, OrdinalMax + 1} {
		w := sectionWriter{}
		w.producer(&Producer{Ordinal: ordinal, Name: "gw"})
		f.Add(w.piece)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if farOrdinal(data) {
			return // The table of producers is as long as the largest ordinal.
		}
		once, whole := New(Options{}), slices.Clone(data)
		errOnce := once.LoadSection(data)
		state := stateOf(once)
		if err := once.LoadSection(data); (err == nil) != (errOnce == nil) || stateOf(once) != state {
			t.Fatalf("joined twice: %v, then %v;\n%s, then\n%s", errOnce, err, state, stateOf(once))
		}
		if !bytes.Equal(data, whole) {
			t.Fatal("the section was changed")
		}
		if errOnce != nil {
			return
		}
		again := New(Options{})
		for _, piece := range pieces(t, once, 4<<20) {
			if err := again.LoadSection(piece); err != nil {
				t.Fatal(err)
			}
		}
		if got := stateOf(again); got != state {
			t.Fatalf("read again:\n%s, then\n%s", state, got)
		}
	})
}

// farOrdinal reports whether an entry of data has an ordinal above 1000 that a producer can have.
func farOrdinal(data []byte) bool {
	for len(data) >= entryHeadBytes {
		if n := binary.LittleEndian.Uint32(data[5:]); n > 1000 && n <= OrdinalMax {
			return true
		}
		n := int64(binary.LittleEndian.Uint32(data)) + 4
		if n > int64(len(data)) {
			return false
		}
		data = data[n:]
	}
	return false
}

// A section is what FORMAT.md draws, byte by byte. A change here is a change of the format.
func TestSectionIsAsDrawn(t *testing.T) {
	ps := New(Options{})
	bind(t, ps, "deleted")
	p := bind(t, ps, "gw")
	ps.Forget(&record.Builder{}, 1, []byte("deleted"))
	p.floor = 7
	long := bytes.Repeat([]byte{0xbb}, AnswerBytesKept+1)
	for i, answer := range [][]byte{{0xaa}, long, long} {
		seq, group := uint64(8+i), uint64(1+i)
		if _, mine, err := p.begin(Claim{Sequence: seq, Hash: [16]byte{0xcc}}, 1, nil); !mine || err != nil {
			t.Fatal(mine, err)
		}
		p.decide(seq, doneGroup{}, group, 0x0102, answer)
	}
	ps.Passed(2)
	claim := func(size, kind, seq byte) []byte {
		return slices.Concat([]byte{size, 0, 0, 0, kind, 2, 0, 0, 0, seq, 0, 0, 0, 0, 0, 0, 0, 0xcc}, make([]byte, 15),
			[]byte{2, 1, 0, 0, 0, 0, 0, 0})
	}
	want := slices.Concat(
		[]byte{5, 0, 0, 0, 1, 2, 0, 0, 0},
		[]byte{27, 0, 0, 0, 2, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 'g', 'w'},
		claim(38, 3, 8), []byte{0xaa},
		claim(37, 4, 9),
		claim(37+8+56, 5, 10), []byte{3, 0, 0, 0, 0, 0, 0, 0}, long,
	)
	if got := pieces(t, ps, 4<<20); len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}
