package parts

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/meterd/meterd/usage/snapshot"
)

// magic begins a stream.
const magic = "mtdpart1"

// Kinds of records.
const (
	kindAbout    = 'a'
	kindProduct  = 'n'
	kindDevice   = 'd'
	kindCompared = 'e'
	kindRow      = 'p'
	kindFailed   = 'x'
	kindWhole    = 'z'
)

// named says whose the rows behind it are.
type named struct {
	Product string `json:"product"`
	Zone    string `json:"zone"`
}

// about is snapshot.About of a part.
type about struct {
	Account string `json:"account"`
	Month   uint32 `json:"month"`
	Group   uint64 `json:"group"`
	AsOfMs  int64  `json:"as_of_ms"`
	Final   bool   `json:"final"`
}

// failed is why there is no part.
type failed struct {
	Text       string               `json:"text"`
	Difference *snapshot.Difference `json:"difference,omitempty"`
}

// Write sends a source as a part; zone returns the time zone of a product by the name that it has. What the source
// refuses is sent, too: the error that is returned is that of w, or of ctx.
func Write(ctx context.Context, to io.Writer, s snapshot.Source, zone func(product string) string) error {
	w := &writer{to: bufio.NewWriterSize(to, bufferBytes)}
	if _, err := w.to.WriteString(magic); err != nil {
		return err
	}
	a := s.About()
	w.json(kindAbout, about{Account: a.Account, Month: a.Month, Group: a.Group, AsOfMs: a.AsOfMs, Final: a.Final})
	w.flush() // The other side waits for it before it asks other cells to begin.
	err := w.rows(ctx, s, zone)
	switch {
	case w.err != nil:
		return w.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		f := failed{Text: err.Error()}
		errors.As(err, &f.Difference)
		w.json(kindFailed, f)
	default:
		w.record(kindWhole, nil)
	}
	w.flush()
	return w.err
}

// writer keeps the first error of the stream: nothing is written after it.
type writer struct {
	to      *bufio.Writer
	err     error
	product string
	b       []byte
}

func (w *writer) rows(ctx context.Context, s snapshot.Source, zone func(product string) string) error {
	err := s.Devices(ctx, func(r *snapshot.Row) error {
		if r.Product != w.product {
			w.product = r.Product
			w.json(kindProduct, named{Product: r.Product, Zone: zone(r.Product)})
		}
		w.b = appendDevice(w.b[:0], r)
		w.record(kindDevice, w.b)
		return w.err
	})
	if err != nil {
		return err
	}
	w.json(kindCompared, s.About().Rows)
	return s.Products(ctx, func(r *snapshot.ProductRow) error {
		w.json(kindRow, r)
		return w.err
	})
}

func (w *writer) json(kind byte, v any) {
	b, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("encode a record of a part: %w", err)
	}
	w.record(kind, b)
}

func (w *writer) record(kind byte, content []byte) {
	if w.err != nil {
		return
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(len(content)))
	if _, w.err = w.to.Write(head); w.err == nil {
		_, w.err = w.to.Write(content)
	}
}

func (w *writer) flush() {
	if w.err == nil {
		w.err = w.to.Flush()
	}
}

func appendDevice(b []byte, r *snapshot.Row) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.Device)))
	b = append(b, r.Device...)
	active := byte(0)
	if r.Active {
		active = 1
	}
	b = append(b, active)
	for _, n := range []int64{r.ActivatedS, r.ExpiresS} {
		b = binary.AppendVarint(b, n)
	}
	for _, n := range []uint64{r.MessagesUp, r.MessagesDown, r.MessagesDenied} {
		b = binary.AppendUvarint(b, n)
	}
	for _, n := range []int64{r.OTAUnits, r.OTATopupUnits} {
		b = binary.AppendVarint(b, n)
	}
	for _, n := range []uint64{r.OTADenied, r.LicensesConsumed} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}
