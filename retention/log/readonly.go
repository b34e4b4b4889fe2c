package log

import (
	"errors"
	"fmt"
	"os"
)

// OpenReadOnly opens a log and changes nothing on the disk: it is for whoever checks one. It proves what Open proves. A
// torn last group beyond the mark is left where it is and not read. A daemon may go on writing the log: what comes
// later is not seen, and a segment that is released before it was read is an error of whoever reads it. What is opened
// so takes nothing: Append and Release fail.
func OpenReadOnly(path string) (*Log, error) {
	l := &Log{readOnly: true, read: make(chan struct{}, ReadersMax), number: 1}
	l.opts.Path = path
	l.opts.fill()
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open commit log: %w", err), l.closeFiles())
	}
	l.failure = errReadOnly
	return l, nil
}

var errReadOnly = errors.New("the commit log was opened for reading")

// access returns how files of the log are opened.
func (l *Log) access() int { return accessOf(l.readOnly) }

func accessOf(readOnly bool) int {
	if readOnly {
		return os.O_RDONLY
	}
	return os.O_RDWR
}
