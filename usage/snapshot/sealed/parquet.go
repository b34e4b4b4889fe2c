package sealed

import (
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// parquetRow is a row of devices.parquet. Its columns are those of the other formats. Times are timestamps in
// milliseconds, UTC; counts are signed, since not every reader has unsigned numbers.
type parquetRow struct {
	Product          string `parquet:"product,dict"`
	Device           string `parquet:"device"`
	State            string `parquet:"state,dict"`
	ActivatedAt      int64  `parquet:"activated_at,timestamp,delta"`
	ExpiresAt        int64  `parquet:"expires_at,timestamp,delta"`
	From             int64  `parquet:"from,timestamp,delta"`
	To               int64  `parquet:"to,timestamp,delta"`
	MessagesUp       int64  `parquet:"messages_up,delta"`
	MessagesDown     int64  `parquet:"messages_down,delta"`
	MessagesDenied   int64  `parquet:"messages_denied,delta"`
	OTAUnits         int64  `parquet:"ota_units,delta"`
	OTATopupUnits    int64  `parquet:"ota_topup_units,delta"`
	OTADenied        int64  `parquet:"ota_denied,delta"`
	LicensesConsumed int64  `parquet:"licenses_consumed,delta"`
}

// parquetWriter writes devices.parquet. A row group is compressed, written and let go of when it is full.
type parquetWriter struct {
	w    *parquet.GenericWriter[parquetRow]
	rows []parquetRow
}

// newParquetWriter returns a writer that notes what the file is about in its metadata.
func newParquetWriter(to io.Writer, about [][2]string) *parquetWriter {
	o := []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}), parquet.MaxRowsPerRowGroup(rowGroupRows),
		parquet.CreatedBy("meterd", "1", ""),
	}
	for _, pair := range about {
		o = append(o, parquet.KeyValueMetadata(pair[0], pair[1]))
	}
	return &parquetWriter{w: parquet.NewGenericWriter[parquetRow](to, o...), rows: make([]parquetRow, batchRows)}
}

func (p *parquetWriter) write(rows []deviceRow) error {
	for i := range rows {
		r := &rows[i]
		p.rows[i] = parquetRow{
			Product: r.product.name, Device: r.device, State: stateName(r.active),
			ActivatedAt: r.activatedS * 1000, ExpiresAt: r.expiresS * 1000, From: r.product.fromMs, To: r.product.toMs,
			MessagesUp: int64(r.MessagesUp), MessagesDown: int64(r.MessagesDown), MessagesDenied: int64(r.MessagesDenied),
			OTAUnits: r.OTAUnits, OTATopupUnits: r.OTATopupUnits, OTADenied: int64(r.OTADenied),
			LicensesConsumed: int64(r.LicensesConsumed),
		}
	}
	_, err := p.w.Write(p.rows[:len(rows)])
	return err
}

func (p *parquetWriter) close() error { return p.w.Close() }
