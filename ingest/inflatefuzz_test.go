package ingest

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/meterd/meterd/event"
)

// fuzzedEncodings are the encodings of bodies; a seed names one by its place.
var fuzzedEncodings = [...]string{"", "gzip", "zstd", "snappy"}

// deflated returns a body in each of fuzzedEncodings.
func deflated(t testing.TB, body []byte) (list [len(fuzzedEncodings)][]byte) {
	t.Helper()
	for i, encoding := range fuzzedEncodings {
		list[i] = deflatedAs(t, encoding, body)
	}
	return list
}

func deflatedAs(t testing.TB, encoding string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "snappy":
		w = snappy.NewBufferedWriter(&out)
	default:
		return body
	}
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzInflate: whatever a compressed body is, it is inflated, or refused as the client's fault or for want of memory.
// What it takes is charged, and the readers, which are used again, read the next body as if nothing had come before.
func FuzzInflate(f *testing.F) {
	said := []byte("to be read whatever came before")
	good := deflated(f, said)
	for _, seed := range [][]byte{nil, said, bytes.Repeat([]byte{'\n'}, 1<<20)} {
		for i, b := range deflated(f, seed) {
			f.Add(uint8(i), b)
			f.Add(uint8(i), append(slices.Clone(b), b...))
		}
	}
	f.Add(uint8(2), []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0}) // A window of 2 GiB.
	f.Fuzz(func(t *testing.T, encoding uint8, body []byte) {
		h := &Handler{}
		h.admission.most = 8 << 20
		c := newCall(h)
		defer func() {
			if c.zstd != nil {
				c.zstd.Close()
			}
		}()
		inflate := func(encoding string, body []byte) *event.Problem {
			h.admission.give(c.charged)
			c.charged = 0
			c.arriving = arriving{in: bytes.NewReader(body), conn: &trickle{}, left: len(body)}
			in, p := c.inflater(encoding, &c.arriving)
			if p == nil {
				p = c.readAll(in, 0, encoding != "")
			}
			return p
		}
		p := inflate(fuzzedEncodings[int(encoding)%len(fuzzedEncodings)], body)
		if p != nil && p.Code != event.BadRequest && p.Code != event.BodyTooLarge && p != errOverloaded {
			t.Fatalf("refused with %+v", p)
		}
		// The first byte of the buffer is readBody's to charge.
		if held := int64(len(c.body)-1) * costFactor; held > c.charged || c.charged > h.admission.most {
			t.Fatalf("%d bytes are held, %d are charged of %d", held, c.charged, h.admission.most)
		}
		for i, encoding := range fuzzedEncodings {
			if p := inflate(encoding, good[i]); p != nil || !bytes.Equal(c.body, said) {
				t.Fatalf("after that %q is read as %q, %+v", encoding, c.body, p)
			}
		}
	})
}
