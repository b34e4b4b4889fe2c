package parts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

// Part is a snapshot.Source that reads what Write has sent.
type Part struct {
	from  io.ReadCloser
	in    *bufio.Reader
	about snapshot.About
	zones map[string]*time.Location // of products with rows, as they come
	b     []byte
	kind  byte // of the record that was read last
}

var _ snapshot.Source = (*Part)(nil)

// errDamaged is that a stream is not what Write sends.
var errDamaged = errors.New("the stream of a part is damaged")

// Open reads the beginning of a part, which says that its cell has begun. The stream is the part's from now on.
func Open(from io.ReadCloser) (*Part, error) {
	p := &Part{from: from, in: bufio.NewReaderSize(from, bufferBytes), zones: map[string]*time.Location{}}
	if err := p.begin(); err != nil {
		return nil, errors.Join(err, from.Close())
	}
	return p, nil
}

func (p *Part) begin() error {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(p.in, head); err != nil {
		return fmt.Errorf("read a part: %w", err)
	}
	if string(head) != magic {
		return errDamaged
	}
	if err := p.next(); err != nil {
		return err
	}
	var a about
	if p.kind != kindAbout || json.Unmarshal(p.b, &a) != nil {
		return errDamaged
	}
	p.about = snapshot.About{Account: a.Account, Month: a.Month, Group: a.Group, AsOfMs: a.AsOfMs, Final: a.Final}
	return nil
}

// next reads a record. That there is no part is an error.
func (p *Part) next() error {
	kind, err := p.in.ReadByte()
	if err != nil {
		return fmt.Errorf("read a part: %w", noEnd(err))
	}
	n, err := binary.ReadUvarint(p.in)
	if err != nil {
		return fmt.Errorf("read a part: %w", noEnd(err))
	}
	if n > recordBytesMax {
		return errDamaged
	}
	if uint64(cap(p.b)) < n {
		p.b = make([]byte, n, max(2*n, 256))
	}
	p.b = p.b[:n]
	if _, err := io.ReadFull(p.in, p.b); err != nil {
		return fmt.Errorf("read a part: %w", noEnd(err))
	}
	if p.kind = kind; kind != kindFailed {
		return nil
	}
	var f failed
	switch {
	case json.Unmarshal(p.b, &f) != nil:
		return errDamaged
	case f.Difference != nil:
		return f.Difference
	}
	return fmt.Errorf("its cell says: %s", f.Text)
}

// noEnd makes the end of a stream an error: only its last record ends it.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// About implements snapshot.Source.
func (p *Part) About() snapshot.About { return p.about }

// Zone returns the time zone of a product that a row had, false for any other.
func (p *Part) Zone(product string) (*time.Location, bool) {
	zone, ok := p.zones[product]
	return zone, ok
}

// Devices implements snapshot.Source.
func (p *Part) Devices(ctx context.Context, fn func(*snapshot.Row) error) error {
	var row snapshot.Row
	rows := uint64(0)
	for {
		if err := errors.Join(ctx.Err(), p.next()); err != nil {
			return err
		}
		switch p.kind {
		case kindProduct:
			var n named
			if json.Unmarshal(p.b, &n) != nil || n.Product == "" {
				return errDamaged
			}
			zone, err := calendar.ParseZone(n.Zone)
			if err != nil {
				return fmt.Errorf("product %q of a part: %w", n.Product, err)
			}
			p.zones[n.Product], row.Product = zone, n.Product
		case kindDevice:
			if row.Product == "" || !readDevice(p.b, &row) {
				return errDamaged
			}
			rows++
			if err := fn(&row); err != nil {
				return err
			}
		case kindCompared:
			if json.Unmarshal(p.b, &p.about.Rows) != nil || p.about.Rows != rows {
				return errDamaged
			}
			return nil
		default:
			return errDamaged
		}
	}
}

// readDevice reads what appendDevice wrote. The device's name stays where it is.
func readDevice(b []byte, row *snapshot.Row) bool {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return false
	}
	b = b[n:]
	row.Device, b = b[:length], b[length:]
	if len(b) == 0 || b[0] > 1 {
		return false
	}
	row.Active, b = b[0] == 1, b[1:]
	signed := func(to *int64) bool {
		v, n := binary.Varint(b)
		if n <= 0 {
			return false
		}
		*to, b = v, b[n:]
		return true
	}
	unsigned := func(to *uint64) bool {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		*to, b = v, b[n:]
		return true
	}
	u := &row.Usage
	return signed(&row.ActivatedS) && signed(&row.ExpiresS) &&
		unsigned(&u.MessagesUp) && unsigned(&u.MessagesDown) && unsigned(&u.MessagesDenied) &&
		signed(&u.OTAUnits) && signed(&u.OTATopupUnits) &&
		unsigned(&u.OTADenied) && unsigned(&u.LicensesConsumed) && len(b) == 0
}

// Products implements snapshot.Source.
func (p *Part) Products(ctx context.Context, fn func(*snapshot.ProductRow) error) error {
	last := ""
	for {
		if err := errors.Join(ctx.Err(), p.next()); err != nil {
			return err
		}
		switch p.kind {
		case kindRow:
			var row snapshot.ProductRow
			d := json.NewDecoder(bytes.NewReader(p.b))
			d.DisallowUnknownFields()
			if d.Decode(&row) != nil || row.Product <= last {
				return errDamaged
			}
			last = row.Product
			if err := fn(&row); err != nil {
				return err
			}
		case kindWhole:
			return nil
		default:
			return errDamaged
		}
	}
}

// Close implements snapshot.Source.
func (p *Part) Close() error { return p.from.Close() }
