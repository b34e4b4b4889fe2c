package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/meterd/meterd/shard/query"
)

// logPage is a part of a log, encoded: what is gathered before anything is written to a client.
type logPage struct {
	lines   []byte // of NDJSON
	entries int
	last    query.ProductPlace // of the last entry
	isCut   bool               // there are more entries behind it
}

// read fills p with the next entries of a log, of bytesMax bytes at most but at least one. With a limit it ends there,
// and looks for one more only if it wants to know whether there is one. After an error p has what was found before it.
// Nothing of the log is held when it returns.
func (p *logPage) read(
	ctx context.Context, from Queries, log askedLog, limit, bytesMax int, looksOn bool,
) error {
	p.lines, p.entries, p.isCut = p.lines[:0], 0, false
	most := limit
	if most > 0 && looksOn {
		most++
	}
	var failed error
	err := log.each(ctx, from, most, func(e *query.LogEntry) bool {
		if limit > 0 && p.entries == limit {
			p.isCut = true
			return false
		}
		var line []byte
		if line, failed = lineOf(log, e); failed != nil {
			return false
		}
		if p.entries > 0 && len(p.lines)+len(line) > bytesMax {
			p.isCut = true
			return false
		}
		p.add(line, e)
		return looksOn || p.entries != limit
	})
	if err == nil {
		err = failed
	}
	return err
}

func (p *logPage) add(line []byte, e *query.LogEntry) {
	p.lines = append(p.lines, line...)
	p.entries++
	p.last = e.Place
}

// lineOf returns an entry as a line of NDJSON.
func lineOf(log askedLog, e *query.LogEntry) ([]byte, error) {
	line, err := json.Marshal(log.show(e))
	if err != nil {
		return nil, fmt.Errorf("encode a log entry: %w", err)
	}
	return append(line, '\n'), nil
}
