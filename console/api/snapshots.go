package api

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// Snapshots makes and keeps sealed usage snapshots; a *sealed.Maker with its *sealed.Store is one.
type Snapshots interface {
	Make(ctx context.Context, r sealed.Request) (*sealed.Manifest, error)
	Get(id string) *sealed.Manifest
	List(before uint64, fn func(*sealed.Manifest) bool)
	Open(m *sealed.Manifest, name string) (sealed.Content, sealed.File, error)
	// Awaited reports whether a snapshot ("": any) was sealed at another node and is not here yet.
	Awaited(id string) bool
}

func errAwaited() error {
	return &event.Problem{
		Code: event.Overloaded, Detail: "sealed snapshots are being copied from another node; send it again",
	}
}

// createSnapshot answers POST /v1/snapshots.
func (c *call) createSnapshot() error {
	r := sealed.Request{Bound: c.token.Account, Token: c.token.Name}
	asOf := "now"
	err := c.read(fields{
		"account": orNull(func(raw json.RawMessage) error {
			r.Account = new(string)
			return boundTo(r.Account)(raw)
		}),
		"as_of": text(&asOf), "period": someText(&r.Period), "corrects": orNull(someText(&r.Corrects)),
	})
	switch {
	case err != nil:
		return err
	case asOf != "now":
		return invalid("as_of", "must be now: a snapshot is of the instant at which it is made")
	}
	r.Note = func(action, target string, detail any) error {
		return c.administer(func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch := cat.Note(by, action, target, detail)
			return next, ch, nil
		})
	}
	m, err := c.o.Snapshots.Make(c.ctx, r)
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set(fasthttp.HeaderLocation, "/v1/snapshots/"+m.ID)
	return c.answer(fasthttp.StatusCreated, m)
}

// orNull reads a member that may be null, which is as if it were not there.
func orNull(read func(json.RawMessage) error) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if string(raw) == "null" {
			return nil
		}
		return read(raw)
	}
}

// someText reads text that is not empty.
func someText(to *string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if err := text(to)(raw); err != nil {
			return err
		}
		if *to == "" {
			return errors.New("must not be empty")
		}
		return nil
	}
}

// listSnapshots answers GET /v1/snapshots, newest first; a cursor is the sequence of the last one shown. A token that
// is bound to an account sees those of its account.
func (c *call) listSnapshots() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	var before uint64
	if _, err := c.cursorNumbers(&before); err != nil {
		return err
	}
	period, account := c.query("period"), c.query("account")
	if _, ok := calendar.ParseMonth(period); period != "" && !ok {
		return invalid("period", "must be a month such as 2026-11")
	}
	if account != "" && (c.catalogue.Account(account) == nil || !c.sees(account)) {
		return notFound("account", account)
	}
	if c.o.Snapshots.Awaited("") {
		return errAwaited() // A list that lacks some would look whole.
	}
	list, more := []*sealed.Manifest{}, false
	c.o.Snapshots.List(before, func(m *sealed.Manifest) bool {
		if !c.seesSnapshot(m) || period != "" && m.Period != period || account != "" && m.AccountName() != account {
			return true
		}
		if more = len(list) == limit; more {
			return false
		}
		list = append(list, m)
		return true
	})
	if more {
		return c.answerPage("snapshots", list, cursorOf(list[limit-1].Sequence))
	}
	return c.answerPage("snapshots", list, nil)
}

// showSnapshot answers GET /v1/snapshots/{snapshot}.
func (c *call) showSnapshot() error {
	m, err := c.snapshot()
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, m)
}

// snapshot returns the snapshot of the path.
func (c *call) snapshot() (*sealed.Manifest, error) {
	id := c.path("snapshot")
	m := c.o.Snapshots.Get(id)
	if m == nil && c.o.Snapshots.Awaited(id) {
		return nil, errAwaited()
	}
	if m == nil || !c.seesSnapshot(m) {
		return nil, notFound("snapshot", id)
	}
	return m, nil
}

// seesSnapshot reports whether the token may know of a snapshot: one of all accounts is not for a bound token.
func (c *call) seesSnapshot(m *sealed.Manifest) bool {
	return c.token.Account == "" || c.token.Account == m.AccountName()
}

// downloadSnapshot answers GET /v1/snapshots/{snapshot}/{file}: from the disk, in pieces. A sealed file never changes,
// so its checksum is its entity tag.
func (c *call) downloadSnapshot() error {
	m, err := c.snapshot()
	if err != nil {
		return err
	}
	columns, err := c.choice("columns", "focus")
	if err != nil {
		return err
	}
	name := c.path("file")
	if !c.downloads.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "too many files are being read already; send it again"}
	}
	leave := func() { c.downloads.leave(c.token.Name) }
	content, file, err := c.o.Snapshots.Open(m, name)
	if errors.Is(err, fs.ErrNotExist) {
		leave()
		return notFound("file", name)
	}
	if err != nil {
		leave()
		return err
	}
	d := &download{conn: c.ctx.Conn(), reader: content, content: content, leave: leave}
	c.ctx.SetContentType(sealed.ContentType(file.Name))
	c.ctx.Response.Header.SetLastModified(time.UnixMilli(int64(m.SealedAt)))
	if columns == "focus" {
		reader, ok := sealed.FocusReader(file.Name, content)
		if !ok {
			return errors.Join(invalid("columns", file.Name+" has one set of names; ask for a CSV or NDJSON"), d.Close())
		}
		d.reader = reader
		return c.sendWhole(d, -1, `"`+file.SHA256+`-focus"`)
	}
	return c.sendSealed(d, &file)
}
