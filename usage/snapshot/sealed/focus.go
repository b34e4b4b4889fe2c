package sealed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// With the column names of FOCUS a file is made while it is read: what is sealed has one set of names, and its checksum
// is of that.
//
//	a CSV:    its first line is another one
//	NDJSON:   each member gets another name, in the order of columns

// FocusReader returns a sealed file's content with the column names of FOCUS; ok is false for a file that has none.
func FocusReader(name string, sealed io.Reader) (r io.Reader, ok bool) {
	switch name {
	case devicesCSV:
		return focusCSV(deviceColumns(), sealed), true
	case productsCSV:
		return focusCSV(productColumns(), sealed), true
	case devicesNDJSON:
		return newFocusLines(deviceColumns(), sealed), true
	}
	return nil, false
}

func focusCSV(columns []column, sealed io.Reader) io.Reader {
	rest := bufio.NewReaderSize(sealed, readBytes)
	head := bytes.NewReader(appendHeader(nil, columns, true))
	return io.MultiReader(head, &skipLine{rest: rest})
}

// skipLine reads all but the first line.
type skipLine struct {
	rest    *bufio.Reader
	skipped bool
}

func (s *skipLine) Read(b []byte) (int, error) {
	if !s.skipped {
		s.skipped = true
		if _, err := s.rest.ReadSlice('\n'); err != nil {
			return 0, fmt.Errorf("a sealed CSV has no first line: %w", err)
		}
	}
	return s.rest.Read(b)
}

// focusLines gives the members of each line other names.
type focusLines struct {
	lines    *bufio.Reader
	old, new [][]byte // `{"product":`, `,"device":` and so on
	line     []byte   // what of the last line was not read yet
	buf      []byte
}

func newFocusLines(columns []column, sealed io.Reader) *focusLines {
	f := &focusLines{lines: bufio.NewReaderSize(sealed, max(readBytes, lineBytesMax))}
	before := byte('{')
	for _, c := range columns {
		f.old = append(f.old, fmt.Appendf(nil, "%c%q:", before, c.name))
		f.new = append(f.new, fmt.Appendf(nil, "%c%q:", before, c.focus))
		before = ','
	}
	return f
}

func (f *focusLines) Read(b []byte) (int, error) {
	for len(f.line) == 0 {
		line, err := f.lines.ReadSlice('\n')
		if err != nil && (len(line) > 0 || !errors.Is(err, io.EOF)) {
			return 0, fmt.Errorf("a line of a sealed file does not end: %w", err)
		}
		if err != nil {
			return 0, io.EOF
		}
		if f.buf, err = f.rename(f.buf[:0], line); err != nil {
			return 0, err
		}
		f.line = f.buf
	}
	n := copy(b, f.line)
	f.line = f.line[n:]
	return n, nil
}

// rename appends a line with the new names. No value has a comma in it.
func (f *focusLines) rename(dst, line []byte) ([]byte, error) {
	for i, old := range f.old {
		rest, ok := bytes.CutPrefix(line, old)
		if !ok {
			return nil, fmt.Errorf("a line of a sealed file lacks %s", old)
		}
		end := bytes.IndexByte(rest, ',')
		if i == len(f.old)-1 {
			end = len(rest)
		}
		if end < 0 {
			return nil, fmt.Errorf("a line of a sealed file ends after %s", old)
		}
		dst = append(append(dst, f.new[i]...), rest[:end]...)
		line = rest[end:]
	}
	return dst, nil
}
