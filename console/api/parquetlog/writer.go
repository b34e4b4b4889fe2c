package parquetlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Row is one entry of a log. Zero times, an empty topic and an empty payload are none. Writer.Add copies its slices.
type Row struct {
	Device           []byte
	TimeMs           int64 // what the gateway claimed; Unix milliseconds, as all times
	DecidedAtMs      int64
	Type             string
	Size             int64
	Topic, Payload   []byte
	PayloadTruncated bool
	Verdict          string
	DayUsed          int64
	WouldDeny        string // code of the quota that would have denied the row, "" for none
	// Of a row that a quota denied or would have denied.
	HasQuota    bool
	Limit, Used int64
	ResetsAtMs  int64
	// Of an upgrade among those: the units that it needed, 0 for none, and what packs had left for it.
	Requested, TopupAvailable int64
}

// columns is the schema of the file.
type columns struct {
	Device           []byte `parquet:"device,string,dict"`
	Time             int64  `parquet:"time,optional,timestamp"`
	DecidedAt        int64  `parquet:"decided_at,timestamp,delta"`
	Type             []byte `parquet:"type,string,dict"`
	Size             int64  `parquet:"size,delta"`
	Topic            []byte `parquet:"topic,optional,string,dict"`
	Payload          []byte `parquet:"payload,optional"`
	PayloadTruncated bool   `parquet:"payload_truncated"`
	Verdict          []byte `parquet:"verdict,string,dict"`
	DayUsed          int64  `parquet:"day_used,delta"`
	Limit            int64  `parquet:"limit,optional"`
	Used             int64  `parquet:"used,optional"`
	ResetsAt         int64  `parquet:"resets_at,optional,timestamp"`
	WouldDeny        []byte `parquet:"would_deny,optional,string,dict"`
	Requested        int64  `parquet:"requested,optional"`
	TopupAvailable   int64  `parquet:"topup_available,optional"`
}

// Writer writes one file. It belongs to one goroutine.
//
// Rows pass to the columns as values, not as structs: of those parquet-go 0.32 takes some nulls for zeroes, y values
// behind y nulls in 64 rows.
type Writer struct {
	out   *bufio.Writer
	w     *parquet.GenericWriter[columns]
	batch []parquet.Row // each with the capacity of all columns
	n     int           // of batch
	texts []byte        // of batch
	// Of the row group, what is in batch counted.
	rows, bytes int
	groups      int
}

// ErrTooLong says that the log has more rows than one file may have: ask for a shorter time.
var ErrTooLong = errors.New("the log has too many rows for one Parquet file")

// New returns a writer of the log of a product to out. Whatever goes wrong, out has then no footer.
func New(out io.Writer, product string) *Writer {
	w := &Writer{
		out: bufio.NewWriterSize(out, writeBytes), batch: make([]parquet.Row, batchRows), texts: make([]byte, 0, batchBytes),
	}
	w.w = parquet.NewGenericWriter[columns](w.out,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}), parquet.MaxRowsPerRowGroup(groupRows),
		parquet.CreatedBy("meterd", "1", ""), parquet.KeyValueMetadata("meterd.product", product),
		parquet.SkipPageBounds("payload"), parquet.SkipPageBounds("topic"),
	)
	return w
}

// Add adds a row. When a row group is full it is written to the output, which may take as long as that likes.
func (w *Writer) Add(r *Row) error {
	size := len(r.Device) + len(r.Topic) + len(r.Payload)
	if w.n == batchRows || len(w.texts)+size+len(r.Type)+len(r.Verdict)+len(r.WouldDeny) > cap(w.texts) {
		if err := w.pass(); err != nil {
			return err
		}
	}
	if w.rows == groupRows || w.rows > 0 && w.bytes+size > groupBytes {
		if err := w.endGroup(); err != nil {
			return err
		}
	}
	w.rows++
	w.bytes += size
	row := valueRow(w.batch[w.n][:0])
	row.must(w.text(r.Device))
	row.may(r.TimeMs != 0, parquet.Int64Value(r.TimeMs))
	row.must(parquet.Int64Value(r.DecidedAtMs))
	row.must(w.text([]byte(r.Type)))
	row.must(parquet.Int64Value(r.Size))
	row.may(len(r.Topic) > 0, w.text(r.Topic))
	row.may(len(r.Payload) > 0, w.text(r.Payload))
	row.must(parquet.BooleanValue(r.PayloadTruncated))
	row.must(w.text([]byte(r.Verdict)))
	row.must(parquet.Int64Value(r.DayUsed))
	row.may(r.HasQuota, parquet.Int64Value(r.Limit))
	row.may(r.HasQuota, parquet.Int64Value(r.Used))
	row.may(r.HasQuota, parquet.Int64Value(r.ResetsAtMs))
	row.may(r.WouldDeny != "", w.text([]byte(r.WouldDeny)))
	row.may(r.Requested > 0, parquet.Int64Value(r.Requested))
	row.may(r.Requested > 0, parquet.Int64Value(r.TopupAvailable))
	w.batch[w.n] = parquet.Row(row)
	w.n++
	return nil
}

// valueRow is a row in the making, whose next column is its length.
type valueRow parquet.Row

// must adds the value of a column that is never null.
func (r *valueRow) must(v parquet.Value) { *r = append(*r, v.Level(0, 0, len(*r))) }

// may adds the value of a column that is null unless is.
func (r *valueRow) may(is bool, v parquet.Value) {
	if !is {
		*r = append(*r, parquet.NullValue().Level(0, 0, len(*r)))
		return
	}
	*r = append(*r, v.Level(0, 1, len(*r)))
}

// text returns a copy of b that lasts as long as the batch.
func (w *Writer) text(b []byte) parquet.Value {
	from := len(w.texts)
	w.texts = append(w.texts, b...)
	return parquet.ByteArrayValue(w.texts[from:])
}

// pass passes the batch to the columns.
func (w *Writer) pass() error {
	_, err := w.w.WriteRows(w.batch[:w.n])
	w.n, w.texts = 0, w.texts[:0]
	if err != nil {
		return fmt.Errorf("write rows of a Parquet file: %w", err)
	}
	return nil
}

// endGroup writes the row group.
func (w *Writer) endGroup() error {
	if err := w.pass(); err != nil {
		return err
	}
	if w.groups++; w.groups > groupsMax {
		return ErrTooLong
	}
	w.rows, w.bytes = 0, 0
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("write a row group of a Parquet file: %w", err)
	}
	return nil
}

// Close writes what is left, and the footer. Without it there is no file.
func (w *Writer) Close() error {
	err := w.pass()
	if err == nil {
		err = w.w.Close()
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("end a Parquet file: %w", err)
	}
	return nil
}
