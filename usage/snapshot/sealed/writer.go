package sealed

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

// Names of the files of a snapshot, in the order of its checksums (the contract).
const (
	devicesCSV     = "devices.csv"
	devicesNDJSON  = "devices.ndjson"
	devicesParquet = "devices.parquet"
	productsCSV    = "products.csv"
)

// fileWriter writes the files of one snapshot into a directory.
//
//	Source.Devices ─► batch ─┬─► CSV      a goroutine each; a batch is used again when all have written it
//	                         ├─► NDJSON
//	                         └─► Parquet
type fileWriter struct {
	dir      string
	room     func(bytes uint64) bool
	zone     func(product string) (*time.Location, bool)
	about    snapshot.About
	products map[string]*product
	last     *product // of the row before
	rows     uint64
}

// batch is a lot of rows. Their names are parts of one string, which is made when the batch is full.
type batch struct {
	rows  []deviceRow
	names []byte
	ends  []int // where each row's name ends in names
	users atomic.Int32
}

func (b *batch) seal() {
	names, from := string(b.names), 0
	for i := range b.rows {
		b.rows[i].device = names[from:b.ends[i]]
		from = b.ends[i]
	}
}

// write writes all files, synced, and returns them in their order.
func (w *fileWriter) write(ctx context.Context, source snapshot.Source) ([]File, error) {
	w.products, w.about = map[string]*product{}, source.About()
	files, err := w.writeDevices(ctx, source)
	if err != nil {
		return nil, err
	}
	if rows := source.About().Rows; w.rows != rows { // It knows now.
		return nil, fmt.Errorf("%d rows came, and not the %d that the source has given", w.rows, rows)
	}
	products, err := w.writeProducts(ctx, source)
	if err != nil {
		return nil, err
	}
	return append(files, products), nil
}

func (w *fileWriter) writeDevices(ctx context.Context, source snapshot.Source) ([]File, error) {
	group, ctx := errgroup.WithContext(ctx)
	free := make(chan *batch, batches)
	for range batches {
		free <- &batch{
			rows: make([]deviceRow, 0, batchRows), ends: make([]int, 0, batchRows),
			names: make([]byte, 0, batchRows*nameBytesMax),
		}
	}
	formats := w.formats()
	files, queues := make([]File, len(formats)), make([]chan *batch, len(formats))
	for i, open := range formats {
		queues[i] = make(chan *batch, batches)
		group.Go(func() (err error) {
			files[i], err = w.writeFormat(ctx, open, queues[i], free)
			return err
		})
	}
	group.Go(func() error {
		if err := w.fill(ctx, source, free, queues); err != nil {
			return err // The others end with ctx.
		}
		for _, q := range queues {
			close(q)
		}
		return nil
	})
	return files, group.Wait()
}

// fill passes the source's rows to the queues.
func (w *fileWriter) fill(ctx context.Context, source snapshot.Source, free chan *batch, queues []chan *batch) error {
	var b *batch
	send := func() {
		b.seal()
		b.users.Store(int32(len(queues)))
		for _, q := range queues {
			q <- b // There is room for all batches.
		}
		b = nil
	}
	err := source.Devices(ctx, func(r *snapshot.Row) error {
		if b == nil {
			select {
			case b = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			b.rows, b.names, b.ends = b.rows[:0], b.names[:0], b.ends[:0]
		}
		p, err := w.product(r.Product)
		if err != nil {
			return err
		}
		p.add(r)
		b.rows = append(b.rows, deviceRow{
			product: p, active: r.Active, activatedS: r.ActivatedS, expiresS: r.ExpiresS, Usage: r.Usage,
		})
		b.names = append(b.names, r.Device...)
		b.ends = append(b.ends, len(b.names))
		w.rows++
		if len(b.rows) == batchRows {
			send()
		}
		return nil
	})
	if err == nil && b != nil {
		send()
	}
	return err
}

// product returns what the rows of a product share.
func (w *fileWriter) product(name string) (*product, error) {
	if w.last != nil && w.last.name == name {
		return w.last, nil
	}
	p := w.products[name]
	if p == nil {
		zone, ok := w.zone(name)
		if !ok {
			return nil, fmt.Errorf("a device belongs to product %q, which the catalogue does not have", name)
		}
		p = &product{name: name}
		p.fromMs, p.toMs = calendar.MonthBounds(w.about.Month, zone)
		p.from, p.to = string(appendTimeMs(nil, p.fromMs)), string(appendTimeMs(nil, p.toMs))
		w.products[name] = p
	}
	w.last = p
	return p, nil
}

// format takes the rows of one file; close ends it.
type format struct {
	name  string
	begin func(f *sealedFile) (write func(rows []deviceRow) error, end func() error)
}

func (w *fileWriter) formats() []format {
	columns := deviceColumns()
	lines := func(f *sealedFile, h heads) (func([]deviceRow) error, func() error) {
		text := deviceText{heads: h}
		write := func(rows []deviceRow) error {
			for i := range rows {
				if err := f.append(text.append(f.buf, &rows[i])); err != nil {
					return err
				}
			}
			return nil
		}
		return write, func() error { return nil }
	}
	return []format{
		{devicesCSV, func(f *sealedFile) (func([]deviceRow) error, func() error) {
			_, _ = f.Write(appendHeader(nil, columns, false)) // Nothing goes to the disk so soon.
			return lines(f, csvHeads(columns))
		}},
		{devicesNDJSON, func(f *sealedFile) (func([]deviceRow) error, func() error) {
			return lines(f, jsonHeads(columns))
		}},
		{devicesParquet, func(f *sealedFile) (func([]deviceRow) error, func() error) {
			p := newParquetWriter(f, [][2]string{
				{"meterd.period", calendar.MonthName(w.about.Month)},
				{"meterd.as_of", string(appendTimeMs(nil, w.about.AsOfMs))},
			})
			return p.write, p.close
		}},
	}
}

// writeFormat writes one file of rows.
func (w *fileWriter) writeFormat(ctx context.Context, o format, queue, free chan *batch) (File, error) {
	f, err := createFile(w.dir, o.name, w.room)
	if err != nil {
		return File{}, err
	}
	write, end := o.begin(f)
	for {
		var b *batch
		var more bool
		select {
		case b, more = <-queue:
		case <-ctx.Done():
			return File{}, errors.Join(context.Cause(ctx), f.drop())
		}
		if !more {
			break
		}
		if err := write(b.rows); err != nil {
			return File{}, errors.Join(fmt.Errorf("write %s: %w", o.name, err), f.drop())
		}
		if b.users.Add(-1) == 0 {
			free <- b
		}
	}
	if err := end(); err != nil {
		return File{}, errors.Join(fmt.Errorf("write %s: %w", o.name, err), f.drop())
	}
	return f.finish(w.rows)
}

func (w *fileWriter) writeProducts(ctx context.Context, source snapshot.Source) (File, error) {
	f, err := createFile(w.dir, productsCSV, w.room)
	if err != nil {
		return File{}, err
	}
	columns, rows := productColumns(), uint64(0)
	h := csvHeads(columns)
	_, _ = f.Write(appendHeader(nil, columns, false)) // Nothing goes to the disk so soon.
	err = source.Products(ctx, func(r *snapshot.ProductRow) error {
		if err := w.compare(r); err != nil {
			return err
		}
		rows++
		return f.append(appendProduct(f.buf, h, r))
	})
	if err == nil {
		err = w.compareUnnamed()
	}
	if err != nil {
		return File{}, errors.Join(fmt.Errorf("write %s: %w", productsCSV, err), f.drop())
	}
	return f.finish(rows)
}
