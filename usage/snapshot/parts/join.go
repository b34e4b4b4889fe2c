package parts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/meterd/meterd/usage/snapshot"
)

// Whole is the snapshot of several parts.
type Whole struct {
	parts []snapshot.Source
	has   []bool // by part: it has products
	all   bool   // has is known
}

var _ snapshot.Source = (*Whole)(nil)

// Join returns the whole of parts, which are the whole's from now on: of different cells, the same month and no
// account, cell 0's first.
func Join(parts []snapshot.Source) (*Whole, error) {
	for _, p := range parts {
		if a := p.About(); a.Month != parts[0].About().Month || a.Account != "" {
			return nil, fmt.Errorf("a part is of account %q and month %d, and not of all and %d", a.Account, a.Month,
				parts[0].About().Month)
		}
	}
	return &Whole{parts: parts, has: make([]bool, len(parts))}, nil
}

// About implements snapshot.Source. Group is that of the first part. Rows is known when Devices has returned, and Final
// when Products has: a part without products does not say whether the month is over.
func (w *Whole) About() snapshot.About {
	whole := w.parts[0].About()
	whole.Final, whole.Rows = w.all, 0
	hasAny := false
	for i, p := range w.parts {
		a := p.About()
		whole.AsOfMs, whole.Rows = max(whole.AsOfMs, a.AsOfMs), whole.Rows+a.Rows
		if w.has[i] {
			hasAny, whole.Final = true, whole.Final && a.Final
		}
	}
	for _, p := range w.parts {
		whole.Final = whole.Final && (hasAny || p.About().Final)
	}
	return whole
}

// Zone returns the time zone of a product that a row had; ok is false if its part does not know.
func (w *Whole) Zone(product string) (zone *time.Location, ok bool) {
	for _, p := range w.parts {
		if z, is := p.(interface {
			Zone(string) (*time.Location, bool)
		}); is {
			if zone, ok = z.Zone(product); ok {
				return zone, true
			}
		}
	}
	return nil, false
}

// Devices implements snapshot.Source: those of one part after the other.
func (w *Whole) Devices(ctx context.Context, fn func(*snapshot.Row) error) error {
	for i, p := range w.parts {
		if err := p.Devices(ctx, fn); err != nil {
			return of(i, err)
		}
	}
	return nil
}

// of says whose part an error is about. What differs is known by itself.
func of(i int, err error) error {
	var d *snapshot.Difference
	if errors.As(err, &d) {
		return err
	}
	return fmt.Errorf("the part of cell %d: %w", i, err)
}

// Products implements snapshot.Source.
func (w *Whole) Products(ctx context.Context, fn func(*snapshot.ProductRow) error) error {
	nexts := make([]func() (*snapshot.ProductRow, error, bool), len(w.parts))
	rows := make([]*snapshot.ProductRow, len(w.parts))
	for i, p := range w.parts {
		next, stop := iter.Pull2(products(ctx, p))
		defer stop()
		nexts[i] = next
	}
	advance := func(i int) error {
		row, err, ok := nexts[i]()
		if rows[i] = row; !ok {
			rows[i] = nil
		}
		if err != nil {
			return of(i, err)
		}
		w.has[i] = w.has[i] || ok
		return nil
	}
	for i := range w.parts {
		if err := advance(i); err != nil {
			return err
		}
	}
	for {
		first := -1
		for i, row := range rows {
			if row != nil && (first < 0 || row.Product < rows[first].Product) {
				first = i
			}
		}
		if first < 0 {
			w.all = true
			return nil
		}
		if err := fn(rows[first]); err != nil {
			return err
		}
		if err := advance(first); err != nil {
			return err
		}
	}
}

// products are the rows of a source's products; an error is the last.
func products(ctx context.Context, p snapshot.Source) iter.Seq2[*snapshot.ProductRow, error] {
	return func(yield func(*snapshot.ProductRow, error) bool) {
		err := p.Products(ctx, func(r *snapshot.ProductRow) error {
			row := *r
			if !yield(&row, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// errStopped ends a source whose rows nobody wants any more.
var errStopped = errors.New("no more rows are wanted")

// Close implements snapshot.Source.
func (w *Whole) Close() error {
	var errs []error
	for _, p := range w.parts {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
