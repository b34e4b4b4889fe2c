package parquetlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// file writes rows and opens the file that they become.
func file(t testing.TB, rows ...Row) *parquet.File {
	t.Helper()
	var out bytes.Buffer
	w := New(&out, "p1")
	for i := range rows {
		r := rows[i]
		r.Device, r.Topic, r.Payload = bytes.Clone(r.Device), bytes.Clone(r.Topic), bytes.Clone(r.Payload)
		must(t, w.Add(&r))
		for _, b := range [][]byte{r.Device, r.Topic, r.Payload} {
			clear(b) // It is copied.
		}
	}
	must(t, w.Close())
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read reads the rows of a file back, by its columns. What is null is the zero value; a zero that is no null is -1.
func read(t testing.TB, f *parquet.File) (rows []Row) {
	t.Helper()
	for _, g := range f.RowGroups() {
		r := g.Rows()
		buffer := make([]parquet.Row, 100)
		for {
			n, err := r.ReadRows(buffer)
			for _, v := range buffer[:n] {
				rows = append(rows, rowOf(t, v))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
		}
		must(t, r.Close())
	}
	return rows
}

func rowOf(t testing.TB, v parquet.Row) (row Row) {
	t.Helper()
	text := func(i int) []byte {
		switch {
		case v[i].IsNull():
			return nil
		case len(v[i].ByteArray()) == 0:
			t.Fatalf("column %d is empty, and not null", i)
		}
		return bytes.Clone(v[i].ByteArray())
	}
	number := func(i int) int64 {
		switch {
		case v[i].IsNull():
			return 0
		case v[i].Int64() == 0:
			return -1
		}
		return v[i].Int64()
	}
	row = Row{
		Device: text(0), TimeMs: number(1), DecidedAtMs: v[2].Int64(), Type: string(text(3)), Size: v[4].Int64(),
		Topic: text(5), Payload: text(6), PayloadTruncated: v[7].Boolean(), Verdict: string(text(8)), DayUsed: v[9].Int64(),
		HasQuota: !v[10].IsNull(), ResetsAtMs: number(12), WouldDeny: string(text(13)),
	}
	if v[10].IsNull() != v[11].IsNull() || v[10].IsNull() != v[12].IsNull() {
		t.Fatalf("half a quota: %v", v)
	}
	if row.HasQuota {
		row.Limit, row.Used = v[10].Int64(), v[11].Int64()
	}
	if v[14].IsNull() != v[15].IsNull() {
		t.Fatalf("half of what an upgrade lacked: %v", v)
	}
	if !v[14].IsNull() {
		row.Requested, row.TopupAvailable = v[14].Int64(), v[15].Int64()
	}
	return row
}

// random returns a row as logs have them.
func random(dice *rand.Rand, i int) Row {
	r := Row{
		Device: fmt.Appendf(nil, "device-%d", dice.IntN(5000)), DecidedAtMs: 1_764_000_000_000 + int64(i), Type: "up",
		Size: dice.Int64N(1000), Verdict: "accepted", DayUsed: dice.Int64N(1500),
	}
	if dice.IntN(3) == 0 {
		r.Topic = fmt.Appendf(nil, "topic/%d", dice.IntN(10))
	}
	if dice.IntN(4) == 0 {
		r.TimeMs = r.DecidedAtMs - dice.Int64N(100_000)
	}
	if dice.IntN(2) == 0 {
		for range 1 + dice.IntN(25) {
			r.Payload = binary.LittleEndian.AppendUint64(r.Payload, dice.Uint64())
		}
		r.PayloadTruncated = dice.IntN(5) == 0
	}
	if dice.IntN(10) == 0 {
		r.Verdict, r.HasQuota, r.Limit, r.Used, r.ResetsAtMs = "message_quota_exceeded", true, 1500, dice.Int64N(2), 5
		if dice.IntN(2) == 0 {
			r.Verdict, r.WouldDeny = "accepted", r.Verdict
			r.Requested, r.TopupAvailable = 2, dice.Int64N(2)
		}
	}
	return r
}

// TestRoundTrip: what was added is in the file, in its order, in row groups that are bounded by rows and by bytes.
func TestRoundTrip(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var rows []Row
	for i := range groupRows + batchRows + 100 {
		rows = append(rows, random(dice, i))
	}
	for range 70 { // 256 KiB each.
		r := random(dice, len(rows))
		r.Payload = bytes.Repeat([]byte{byte(len(rows))}, 256<<10)
		rows = append(rows, r)
	}
	f := file(t, rows...)
	have := read(t, f)
	if len(have) != len(rows) {
		t.Fatalf("%d rows, want %d", len(have), len(rows))
	}
	for i := range rows {
		if !reflect.DeepEqual(have[i], rows[i]) {
			t.Fatalf("row %d:\n have %+v\n want %+v", i, have[i], rows[i])
		}
	}
	at := 0
	for _, g := range f.RowGroups() {
		n, size := int(g.NumRows()), 0
		for _, r := range rows[at : at+n] {
			size += len(r.Device) + len(r.Topic) + len(r.Payload)
		}
		if n > groupRows || size > groupBytes {
			t.Errorf("a row group has %d rows, %d bytes", n, size)
		}
		at += n
	}
	if n := len(f.RowGroups()); n < 4 {
		t.Errorf("%d row groups", n)
	}
	if product, _ := f.Lookup("meterd.product"); product != "p1" {
		t.Errorf("the file is about %q", product)
	}
}

// TestNulls: what is not there is null whatever stands around it.
func TestNulls(t *testing.T) {
	var rows []Row
	for nulls := range 70 {
		for values := range 5 {
			for i := range 2*nulls + values {
				r := Row{Device: []byte("d"), DecidedAtMs: 1, Type: "up", Verdict: "accepted"}
				if i >= nulls && i < nulls+values {
					r.TimeMs, r.Topic, r.Payload = 1, []byte("t"), []byte("p")
					r.HasQuota, r.ResetsAtMs, r.WouldDeny, r.Requested = true, 1, "c", 1
				}
				rows = append(rows, r)
			}
		}
	}
	have := read(t, file(t, rows...))
	for i := range rows {
		if !reflect.DeepEqual(have[i], rows[i]) {
			t.Fatalf("row %d:\n have %+v\n want %+v", i, have[i], rows[i])
		}
	}
}

// TestSchema is what other programs see.
func TestSchema(t *testing.T) {
	f := file(t, random(rand.New(rand.NewPCG(1, 2)), 0))
	const ms = "TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)"
	want := []struct {
		name, kind string
		optional   bool
	}{
		{"device", "STRING", false},
		{"time", ms, true},
		{"decided_at", ms, false},
		{"type", "STRING", false},
		{"size", "INT(64,true)", false},
		{"topic", "STRING", true},
		{"payload", "BYTE_ARRAY", true},
		{"payload_truncated", "BOOLEAN", false},
		{"verdict", "STRING", false},
		{"day_used", "INT(64,true)", false},
		{"limit", "INT(64,true)", true},
		{"used", "INT(64,true)", true},
		{"resets_at", ms, true},
		{"would_deny", "STRING", true},
		{"requested", "INT(64,true)", true},
		{"topup_available", "INT(64,true)", true},
	}
	fields := f.Schema().Fields()
	if len(fields) != len(want) {
		t.Fatalf("%d columns, want %d", len(fields), len(want))
	}
	for i, field := range fields {
		if w := want[i]; field.Name() != w.name || field.Type().String() != w.kind || field.Optional() != w.optional {
			t.Errorf("column %d is %s %s, optional %v, want %+v", i, field.Name(), field.Type(), field.Optional(), w)
		}
	}
	for _, column := range f.Metadata().RowGroups[0].Columns {
		if codec := column.MetaData.Codec.String(); codec != "ZSTD" {
			t.Errorf("%v is compressed by %s", column.MetaData.PathInSchema, codec)
		}
	}
}

// TestEmpty: a log without entries is a file without rows.
func TestEmpty(t *testing.T) {
	if f := file(t); f.NumRows() != 0 || len(f.Schema().Fields()) != 16 {
		t.Errorf("%d rows, %s", f.NumRows(), f.Schema())
	}
}

// failing takes some bytes, then none.
type failing struct{ left int }

var errFull = errors.New("nobody takes more")

func (f *failing) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	f.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// TestNoFooterWithoutAnEnd: whatever part of a file is written before the output fails, it does not pass for a file.
func TestNoFooterWithoutAnEnd(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	rows := make([]Row, 3*batchRows)
	for i := range rows {
		rows[i] = random(dice, i)
	}
	write := func(out io.Writer, closes bool) error {
		w := New(out, "p1")
		for i := range rows {
			if err := w.Add(&rows[i]); err != nil {
				return err
			}
		}
		if err := w.endGroup(); err != nil || !closes {
			return err
		}
		return w.Close()
	}
	var whole bytes.Buffer
	must(t, write(&whole, true))
	for left := 0; left < whole.Len(); left += 1 + whole.Len()/20 {
		if err := write(&failing{left}, true); !errors.Is(err, errFull) {
			t.Fatalf("after %d of %d bytes: %v", left, whole.Len(), err)
		}
		if _, err := parquet.OpenFile(bytes.NewReader(whole.Bytes()[:left]), int64(left)); err == nil {
			t.Fatalf("%d of %d bytes are a file", left, whole.Len())
		}
	}
	var open bytes.Buffer
	must(t, write(&open, false))
	if _, err := parquet.OpenFile(bytes.NewReader(open.Bytes()), int64(open.Len())); err == nil {
		t.Error("a file without its end is a file")
	}
}

// TestTooLong: what the footer says is bounded.
func TestTooLong(t *testing.T) {
	w := New(io.Discard, "p1")
	w.groups, w.rows = groupsMax, groupRows
	if err := w.Add(&Row{}); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
}

// BenchmarkAdd shows rows a second and bytes a row, of a log as it is and of one with payloads, and the memory that a
// row group leaves behind.
func BenchmarkAdd(b *testing.B) {
	for _, payload := range []int{0, 200} {
		b.Run(fmt.Sprintf("payload=%d", payload), func(b *testing.B) {
			dice := rand.New(rand.NewPCG(1, 2))
			rows := make([]Row, 1<<16)
			for i := range rows {
				rows[i] = random(dice, i)
				rows[i].Payload = rows[i].Payload[:min(len(rows[i].Payload), payload)]
			}
			out := &counted{}
			w := New(out, "p1")
			b.ReportAllocs()
			i := 0
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				r := rows[i&(len(rows)-1)]
				r.DecidedAtMs += int64(i)
				if err := w.Add(&r); err != nil {
					b.Fatal(err)
				}
				i++
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if w.groups > 0 {
				b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(w.groups), "heap-B/group")
			}
			b.ReportMetric(float64(out.bytes)/float64(i), "B/row")
			must(b, w.Close())
		})
	}
}

// counted counts bytes.
type counted struct{ bytes int64 }

func (c *counted) Write(b []byte) (int, error) { c.bytes += int64(len(b)); return len(b), nil }
