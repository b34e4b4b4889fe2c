package console

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/meterd/meterd/shard/query"
)

// logPage is a part of a device's log, encoded: what one scan gathers before anything is written to a client. Nothing
// of the log is held between two pages.
type logPage struct {
	lines   []byte // of NDJSON
	entries int
	last    query.LogPlace // of the last entry
	isCut   bool           // there are more entries behind it
}

// read fills p with the next entries of q, of bytesMax bytes at most but at least one. With a limit it ends there, and
// looks for one more only if it wants to know whether there is one. After an error p has what was found before it.
func (p *logPage) read(ctx context.Context, from Queries, q query.LogQuery, limit, bytesMax int, looksOn bool) error {
	p.lines, p.entries, p.isCut = p.lines[:0], 0, false
	var failed error
	err := from.DeviceLog(ctx, q, func(entry *query.LogEntry) bool {
		if limit > 0 && p.entries == limit {
			p.isCut = true
			return false
		}
		line, err := json.Marshal(showLogEntry(entry))
		if err != nil {
			failed = fmt.Errorf("encode a log entry: %w", err)
			return false
		}
		if p.entries > 0 && len(p.lines)+len(line) >= bytesMax {
			p.isCut = true
			return false
		}
		p.lines = append(append(p.lines, line...), '\n')
		p.entries++
		p.last = entry.Place.Place
		return looksOn || p.entries != limit
	})
	if err == nil {
		err = failed
	}
	return err
}
