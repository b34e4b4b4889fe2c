package backup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/meterd/meterd/retention/ledger"
)

// appendRow adds a row to a part.
func appendRow(dst []byte, e ledger.Entry) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(e.Key))), e.Key...)
	dst = append(binary.AppendUvarint(dst, uint64(len(e.Value))), e.Value...)
	return binary.AppendVarint(dst, e.UntilMs)
}

// readRows calls fn for the rows of a part. Key and value are fn's to keep.
func readRows(r io.Reader, fn func(ledger.Entry) error) error {
	in := bufio.NewReader(r)
	for {
		e, err := readRow(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// readRow reads one row; io.EOF says that there is none.
func readRow(in *bufio.Reader) (e ledger.Entry, err error) {
	if _, err := in.Peek(1); err != nil { // io.EOF as it is.
		return e, err
	}
	if e.Key, err = readText(in); err == nil {
		e.Value, err = readText(in)
	}
	if err == nil {
		e.UntilMs, err = binary.ReadVarint(in)
	}
	if err == nil && e.UntilMs < 0 {
		err = fmt.Errorf("it is over at %d", e.UntilMs)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return e, fmt.Errorf("a row cannot be read: %w", err)
	}
	return e, nil
}

// readText reads what its length comes before. Memory grows with what is there, not with what the length claims.
func readText(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if n > rowBytesMax {
		return nil, fmt.Errorf("%d bytes", n)
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err == nil && uint64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
