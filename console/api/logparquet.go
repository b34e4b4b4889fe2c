package api

import (
	"bufio"
	"cmp"
	"context"
	"fmt"

	"github.com/meterd/meterd/console/api/parquetlog"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/query"
)

// mediaParquet is a log as one Parquet file.
const mediaParquet = "application/vnd.apache.parquet"

// writeParquet writes the log as a file. After an error it has no footer, so that nobody takes it for whole. While the
// client takes a part, the stream holds a row group.
func (s *logStream) writeParquet(ctx context.Context, w *bufio.Writer) error {
	file := parquetlog.New(&streamWriter{s, ctx, w}, s.log.product().Name)
	var failed error
	err := s.log.each(ctx, s.h.queries, s.limit, func(e *query.LogEntry) bool {
		failed = file.Add(parquetRow(e))
		s.lines++
		return failed == nil
	})
	if err = cmp.Or(failed, err); err != nil {
		return fmt.Errorf("write a log as Parquet: %w", err)
	}
	return file.Close()
}

// streamWriter is an io.Writer to a client.
type streamWriter struct {
	s   *logStream
	ctx context.Context
	w   *bufio.Writer
}

// Write has the client take some bytes.
func (t *streamWriter) Write(b []byte) (int, error) {
	if err := t.s.write(t.ctx, t.w, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// parquetRow is a log entry as a row of the file, whose columns have the names of the members of one in JSON.
func parquetRow(e *query.LogEntry) *parquetlog.Row {
	r := &e.Row
	row := &parquetlog.Row{
		Device: e.Device, TimeMs: r.TimeMs, DecidedAtMs: r.DecidedMs, Type: r.Type.String(), Size: r.Size, Topic: r.Topic,
		Payload: r.Payload, PayloadTruncated: r.IsCut, Verdict: r.Code.String(), DayUsed: int64(r.Used),
	}
	if r.WouldDeny != event.Accepted {
		row.WouldDeny = r.WouldDeny.String()
	}
	if r.HasQuota() {
		row.HasQuota, row.Limit, row.Used = true, int64(r.Quota.Limit), int64(r.Quota.Used)
		row.ResetsAtMs, row.Requested, row.TopupAvailable = r.Quota.ResetsAtMs, int64(r.Requested), int64(r.TopupAvailable)
	}
	return row
}
