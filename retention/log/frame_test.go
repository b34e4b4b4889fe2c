package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// encoded returns the whole frame of a group.
func encoded(g *Group, salt uint64, before Chain) []byte {
	var f frame
	f.of(g, salt, before)
	b := append(f.append(nil), g.Head...)
	for _, c := range g.Chunks {
		b = append(b, c...)
	}
	return b
}

func TestFrameRoundTrip(t *testing.T) {
	for _, g := range []*Group{testGroup(1, 5), testGroup(1<<60, 1<<50, 1, 2, 300), {Seq: 9}} {
		b := encoded(g, 77, Chain{1, 2, 3})
		var f frame
		var got Group
		n, _, err := f.decodeGroup(b, 77, &got, nil)
		if err != nil || n != len(b) || f.before != (Chain{1, 2, 3}) {
			t.Fatal(n, err)
		}
		g.Chain = got.Chain
		if err := sameGroup(&got, g); err != nil {
			t.Fatal(err)
		}
		if again := encoded(
			g,
			78,
			Chain{1, 2, 3},
		); chainOf(
			again[:frameFixedBytes+partBytes*(1+len(g.Chunks))],
		) != got.Chain {
			t.Fatal("the chain depends on the salt")
		}
		for cut := range b {
			if need, _, err := f.decodeGroup(b[:cut], 77, &got, nil); !errors.Is(err, errShort) || need <= cut || need > len(b) {
				t.Fatalf("%d of %d bytes: it needs %d, %v", cut, len(b), need, err)
			}
		}
	}
}

// Every bit of a frame counts.
func TestFrameFlips(t *testing.T) {
	b := encoded(testGroup(3, 4, 1, 40), 77, Chain{1})
	for at := range b {
		for bit := range 8 {
			flipped := bytes.Clone(b)
			flipped[at] ^= 1 << bit
			var f frame
			var g Group
			if _, _, err := f.decodeGroup(flipped, 77, &g, nil); err == nil {
				t.Fatalf("bit %d of byte %d does not count", bit, at)
			}
		}
	}
}

func TestHeaderPage(t *testing.T) {
	h := header{number: 7, salt: 8, first: 9, before: Chain{1}, beforeFirstMs: 10, beforeLastMs: 11}
	blank := make([]byte, pageBytes)
	other, own, bad := make([]byte, pageBytes), make([]byte, pageBytes), make([]byte, pageBytes)
	h.page(own)
	h.number = 3
	h.page(other)
	h.number = 7
	for i := range bad {
		bad[i] = byte(i)
	}
	for _, c := range []struct {
		name           string
		first, second  []byte
		is, half, fail bool
	}{
		{"own own", own, own, true, false, false},
		{"own bad", own, bad, true, true, false},
		{"bad own", bad, own, true, true, false},
		{"blank own", blank, own, true, true, false},
		{"own other", own, other, true, true, false},
		{"other other", other, other, false, false, false},
		{"blank blank", blank, blank, false, false, false},
		{"other bad", other, bad, false, false, false},
		{"bad blank", bad, blank, false, false, false},
		{"bad bad", bad, bad, false, false, true},
	} {
		page := append(bytes.Clone(c.first[:headerCopyAt]), c.second[headerCopyAt:]...)
		b, err := decodeBegun(page, 7)
		if (err != nil) != c.fail || err == nil && (b.is != c.is || b.half != c.half) || b.is && b.header != h {
			t.Errorf("%s: %+v, %v", c.name, b, err)
		}
		if c.fail && !errors.Is(err, disk.ErrDamaged) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	binary.LittleEndian.PutUint32(own[4:], 2)
	binary.LittleEndian.PutUint32(own[headerBytes-4:], crc32.Checksum(own[:headerBytes-4], castagnoli))
	if _, err := decodeBegun(own, 7); err == nil || errors.Is(err, disk.ErrDamaged) {
		t.Errorf("a newer version: %v", err)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(encoded(testGroup(1, 5), 77, Chain{}), uint64(77))
	f.Add(encoded(testGroup(1<<40, 5, 1, 100), 77, Chain{1}), uint64(77))
	f.Add(make([]byte, 200), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, salt uint64) {
		var fr frame
		var g Group
		if n, err := fr.decode(b, salt); err == nil {
			if again := fr.append(nil); !bytes.Equal(again, b[:n]) {
				t.Fatalf("%x became %x", b[:n], again)
			}
		} else if errors.Is(err, errShort) && n <= len(b) {
			t.Fatalf("%d bytes are too short, %d are needed", len(b), n)
		}
		n, chunks, err := fr.decodeGroup(b, salt, &g, nil)
		if errors.Is(err, errShort) && n <= len(b) {
			t.Fatalf("%d bytes are too short, %d are needed", len(b), n)
		}
		if err != nil {
			return
		}
		if again := encoded(&g, salt, fr.before); !bytes.Equal(again, b[:n]) || len(chunks) != len(g.Chunks) {
			t.Fatalf("%x became %x", b[:n], again)
		}
	})
}

// A sealed frame is what a fuzzer does not find: its checksum is made to match.
func FuzzDecodeSealedFrame(f *testing.F) {
	f.Add(encoded(testGroup(1, 5, 1, 100), 77, Chain{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < frameFixedBytes+partBytes {
			return
		}
		le := binary.LittleEndian
		le.PutUint32(b, frameMagic)
		if n := frameFixedBytes + int(1+le.Uint32(b[frameFixedBytes-4:])%(ChunksMax+2))*partBytes; n <= len(b) {
			le.PutUint32(b[4:], crc32.Checksum(b[8:n], castagnoli))
		}
		var fr frame
		var g Group
		n, _, err := fr.decodeGroup(b, le.Uint64(b[8:]), &g, nil)
		if err == nil && (n > len(b) || g.validate() != nil && g.FirstMs <= g.LastMs) {
			t.Fatalf("%d of %d bytes, %v", n, len(b), g.validate())
		}
	})
}

func FuzzDecodeBegun(f *testing.F) {
	page := make([]byte, pageBytes)
	(&header{number: 7, salt: 8, first: 9}).page(page)
	f.Add(page[:headerBytes], page[headerCopyAt:headerCopyAt+headerBytes], uint64(7))
	f.Add([]byte{}, page[:headerBytes], uint64(7))
	f.Fuzz(func(t *testing.T, first, second []byte, number uint64) {
		page := make([]byte, pageBytes)
		copy(page[:headerCopyAt], first)
		copy(page[headerCopyAt:], second)
		b, err := decodeBegun(page, number)
		if err != nil || !b.is {
			return
		}
		again := make([]byte, pageBytes)
		b.page(again)
		if c, err := decodeBegun(again, number); err != nil || !c.is || c.half || !reflect.DeepEqual(c.header, b.header) {
			t.Fatalf("%+v became %+v, %v", b, c, err)
		}
	})
}

func FuzzDecodeMark(f *testing.F) {
	b := make([]byte, markBytes)
	encodeMark(b, 7)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, err := decodeMark(b)
		if err != nil {
			return
		}
		again := make([]byte, markBytes)
		if encodeMark(again, seq); !bytes.Equal(again, b[:markBytes]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
