package names

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/license"
)

// Options is what a Directory is made of.
type Options struct {
	Cells  int
	Client *call.Client
	// Catalogue returns this node's copy of a cell's catalogue, of whatever age; nil: there is none yet.
	Catalogue func(cell int) *license.Catalogue
	// Forward sends the client's request, whose body is in memory, to the owner of a cell, once, in its client's name, and
	// makes what the owner answers c's response; it is waited for until ctx is over. reservation, if it is not 0, goes
	// with it, and what a client sends in its place never does. ErrUnsent says that no owner got the request; after any
	// other error nobody knows.
	Forward func(ctx context.Context, c *fasthttp.RequestCtx, cell int, reservation uint64) error
	Logger  *slog.Logger
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	if o.Cells < 2 {
		errs = append(errs, errors.New("names: a directory has two cells at least"))
	}
	if o.Client == nil || o.Catalogue == nil || o.Forward == nil || o.Logger == nil {
		errs = append(errs, errors.New("names: a directory has a client, catalogues, a way to owners and a logger"))
	}
	return errors.Join(errs...)
}

// ErrUnsent means that no owner got a request.
var ErrUnsent = errors.New("the cell has no owner that takes requests")

// Directory gives names, on any node. It is safe for concurrent use.
type Directory struct {
	o                          Options
	within, openWait, loadWait time.Duration // a test's
}

// New returns a Directory.
func New(o Options) (*Directory, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Directory{o: o, within: within, openWait: openWait, loadWait: loadWait}, nil
}

// Find asks cell 0 which cell has what a name is given to, or may have it soon: as of a moment after the call.
func (d *Directory) Find(ctx context.Context, kind license.NameKind, name string) (cell int, found bool, err error) {
	p, err := call.Again[place](ctx, d.o.Client, 0, methodFind, nameMessage{kind, name})
	return p.Cell, p.IsGiven, err
}

// awaitMirrors returns when all cells have taken over what cell 0 says now of tokens and webhooks without an account.
func (d *Directory) awaitMirrors(ctx context.Context) error {
	changes, err := call.Again[uint64](ctx, d.o.Client, 0, methodChanges, struct{}{})
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for cell := 1; cell < d.o.Cells; cell++ {
		all.Go(func() error {
			for {
				done, err := call.Again[bool](ctx, d.o.Client, cell, methodMirrored, changes)
				if err != nil || done {
					return err
				}
			}
		})
	}
	return all.Wait()
}

// cellOf returns the cell of an account, 0 if there is none.
func (d *Directory) cellOf(ctx context.Context, account string) (int, error) {
	for cell := range d.o.Cells {
		if c := d.o.Catalogue(cell); c != nil && c.Account(account) != nil {
			return cell, nil
		}
	}
	cell, _, err := d.Find(ctx, license.NameAccount, account)
	return cell, err
}

// emptiest returns the cell with the fewest devices, among those the one with the fewest accounts, among those the
// first. A cell whose owner does not answer gets none.
func (d *Directory) emptiest(ctx context.Context) int {
	limited, cancel := context.WithTimeout(ctx, d.loadWait)
	defer cancel()
	loads := make([]*load, d.o.Cells)
	var all sync.WaitGroup
	for cell := range loads {
		all.Go(func() {
			if l, err := call.Once[load](limited, d.o.Client, cell, methodLoad, struct{}{}); err == nil {
				loads[cell] = &l
			}
		})
	}
	all.Wait()
	best := 0
	for cell, l := range loads {
		if b := loads[best]; l != nil && (b == nil || cmp.Or(
			cmp.Compare(l.Devices, b.Devices), cmp.Compare(l.Accounts, b.Accounts), cmp.Compare(cell, best)) < 0) {
			best = cell
		}
	}
	return best
}
