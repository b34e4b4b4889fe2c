package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// TestFormatsAgree reads the same rows from all three files.
func TestFormatsAgree(t *testing.T) {
	b := newBed(t)
	b.devices = 10_000
	m := b.sealed(Request{})
	f, known, err := b.store.Open(m, devicesParquet)
	must(t, err)
	defer f.Close()
	file, err := parquet.OpenFile(f, known.Bytes)
	must(t, err)
	if file.NumRows() != int64(m.Rows) {
		t.Fatalf("there are %d rows, want %d", file.NumRows(), m.Rows)
	}
	if period, _ := file.Lookup("meterd.period"); period != "2026-11" {
		t.Errorf("the file is about %q", period)
	}
	rows := parquet.NewGenericReader[parquetRow](file)
	defer rows.Close()
	lines := strings.Split(b.read(m, devicesNDJSON, false), "\n")
	table := strings.Split(b.read(m, devicesCSV, false), "\n")[1:]
	row := make([]parquetRow, 1)
	for i := range int(m.Rows) {
		if n, err := rows.Read(row); n != 1 || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("row %d: %v", i, err)
		}
		r := row[0]
		at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
		cells := []any{
			r.Product, r.Device, r.State, at(r.ActivatedAt), at(r.ExpiresAt), at(r.From), at(r.To), r.MessagesUp,
			r.MessagesDown, r.MessagesDenied, r.OTAUnits, r.OTATopupUnits, r.OTADenied, r.LicensesConsumed,
		}
		text := make([]string, len(cells))
		for c, cell := range cells {
			text[c] = fmt.Sprint(cell)
		}
		if want := strings.Join(text, ","); table[i] != want {
			t.Fatalf("row %d of the CSV is\n%s\nand of Parquet\n%s", i, table[i], want)
		}
		d := json.NewDecoder(strings.NewReader(lines[i]))
		d.UseNumber()
		var line map[string]any
		must(t, d.Decode(&line))
		for c, column := range deviceColumns() {
			if fmt.Sprint(line[column.name]) != text[c] {
				t.Fatalf("row %d, %s: %v in NDJSON, %s in Parquet", i, column.name, line[column.name], text[c])
			}
		}
	}
}

// TestParquetSchema is what other programs see.
func TestParquetSchema(t *testing.T) {
	var out bytes.Buffer
	w := newParquetWriter(&out, nil)
	p := &product{name: "p1"}
	rows := make([]deviceRow, batchRows)
	for i := range rows {
		rows[i] = deviceRow{product: p, device: fmt.Sprintf("d%d", i)}
	}
	groups := 3
	for range groups*rowGroupRows/batchRows - 1 {
		must(t, w.write(rows))
	}
	must(t, w.close())
	file, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)
	if got := len(file.RowGroups()); got != groups {
		t.Errorf("there are %d row groups, want %d", got, groups)
	}
	for i, field := range file.Schema().Fields() {
		if want := deviceColumns()[i].name; field.Name() != want || field.Optional() {
			t.Errorf("column %d is %s, want %s", i, field.Name(), want)
		}
		want := "INT(64,true)"
		switch field.Name() {
		case "product", "device", "state":
			want = "STRING"
		case "activated_at", "expires_at", "from", "to":
			want = "TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)"
		}
		if got := field.Type().String(); got != want {
			t.Errorf("%s is %s, want %s", field.Name(), got, want)
		}
	}
	for _, column := range file.Metadata().RowGroups[0].Columns {
		if codec := column.MetaData.Codec.String(); codec != "ZSTD" {
			t.Errorf("%v is compressed by %s", column.MetaData.PathInSchema, codec)
		}
	}
}

// BenchmarkSeal seals snapshots of a fake source. It shows rows a second, and what a row takes in each format.
func BenchmarkSeal(b *testing.B) {
	for _, devices := range []int{100_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			bed := newBed(b)
			bed.devices = devices / 2
			bed.change = func(s *fakeSource) { s.scatter = true }
			var m *Manifest
			for b.Loop() {
				m = bed.sealed(Request{})
			}
			b.ReportMetric(float64(m.Rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			for _, f := range m.Files[:3] {
				b.ReportMetric(float64(f.Bytes)/float64(f.Rows), filepath.Ext(f.Name)[1:]+"-B/row")
			}
			status, err := os.ReadFile("/proc/self/status")
			must(b, err)
			for line := range strings.Lines(string(status)) {
				var kib float64
				if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
					b.ReportMetric(kib/1024, "peak-MiB")
				}
			}
		})
	}
}
