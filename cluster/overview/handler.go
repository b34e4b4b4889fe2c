package overview

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/forget"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
)

// Options is what an Overview is made of.
type Options struct {
	Cluster string
	Node    string // this one
	Cells   int    // of the cluster
	Board   Board
	// Catalogues returns what this node's copy of a cell has, or had when it was closed; nil as long as there was none.
	Catalogues func(cell int) *license.Catalogue
	// Unknown says what a request is to be answered whose token no copy here has: an owner may have it.
	Unknown func(ctx *fasthttp.RequestCtx) *event.Problem
	// Move has the owner of a cell hand it over to a node, Repair begins a new stream behind the longest copy of a cell
	// that nobody can own. Both return when it is done, or why it was not.
	Move   func(ctx context.Context, cell int, node string) error
	Repair func(ctx context.Context, cell int) error
	// Forget forgets a node that does not come back, or the server that it had before, and says what was done.
	Forget func(ctx context.Context, node string) (forget.Answer, error)
	// ConfirmClock says that this node's clock is right.
	ConfirmClock func()
	Logger       *slog.Logger // nil: nobody is told
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	if o.Cluster == "" || o.Node == "" || o.Cells < 1 || o.Board == nil {
		errs = append(errs, errors.New("an overview is of a cluster with cells, by one of its nodes, with a board"))
	}
	if o.Catalogues == nil || o.Unknown == nil || o.Move == nil || o.Repair == nil || o.Forget == nil ||
		o.ConfirmClock == nil {
		errs = append(errs, errors.New("an overview needs Catalogues, Unknown, Move, Repair, Forget and ConfirmClock"))
	}
	return errors.Join(errs...)
}

// Overview answers calls about the cluster. It is safe for concurrent use.
type Overview struct {
	o         Options
	penalties *access.Penalties

	mu     sync.Mutex
	now    Map
	madeAt time.Time
}

// New returns an Overview.
func New(o Options) (*Overview, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Overview{o: o, penalties: access.NewPenalties(nil)}, nil
}

// Map returns how the cluster stands. What it points to must not be changed.
func (v *Overview) Map() Map {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.madeAt) > freshFor {
		v.now, v.madeAt = Of(v.o.Cluster, v.o.Cells, v.o.Board), now
	}
	return v.now
}

const prefix = "/v1/cluster"

// Handle answers a request about the cluster. It returns false for any other, and has not touched it then.
func (v *Overview) Handle(ctx *fasthttp.RequestCtx) bool {
	path := string(ctx.Path())
	if path == "/v1/clock/confirm" && ctx.IsPost() {
		return v.confirmClock(ctx)
	}
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return false
	}
	if err := v.answer(ctx, rest); err != nil {
		v.refuse(ctx, err)
	}
	return true
}

func (v *Overview) answer(ctx *fasthttp.RequestCtx, rest string) error {
	if rest == "" {
		if err := method(ctx, fasthttp.MethodGet, fasthttp.MethodHead); err != nil {
			return err
		}
		return v.show(ctx)
	}
	if node, ok := strings.CutPrefix(rest, "/nodes/"); ok && strings.HasSuffix(node, "/forget") {
		return v.forget(ctx, strings.TrimSuffix(node, "/forget"))
	}
	text, call, _ := strings.Cut(strings.TrimPrefix(rest, "/cells/"), "/")
	if !strings.HasPrefix(rest, "/cells/") || call != "move" && call != "repair" {
		return &event.Problem{Code: event.NotFound, Detail: "there is nothing at " + prefix + rest}
	}
	if err := method(ctx, fasthttp.MethodPost); err != nil {
		return err
	}
	token, err := v.authorize(ctx, access.RightAdminister)
	if err != nil {
		return err
	}
	cell, err := strconv.Atoi(text)
	if err != nil || cell < 0 || cell >= v.o.Cells || strconv.Itoa(cell) != text {
		return &event.Problem{
			Code:   event.NotFound,
			Detail: fmt.Sprintf("there is no cell %s: they are 0 to %d", text, v.o.Cells-1),
		}
	}
	return v.operate(ctx, token, cell, call)
}

// confirmClock confirms this node's clock, so that it may own cells, and leaves the answer to their owners. If there
// are none, since nobody's clock was near enough, nobody else can answer.
func (v *Overview) confirmClock(ctx *fasthttp.RequestCtx) (answered bool) {
	catalogue := v.o.Catalogues(0)
	if catalogue == nil {
		return false
	}
	header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	token, problem := access.Authorize(catalogue, header, access.RightAdminister, time.Now().UnixMilli())
	if problem != nil {
		return false // The owners refuse it.
	}
	v.o.ConfirmClock()
	v.o.Logger.Warn("an operator says that this node's clock is right", "token", token.Name)
	for _, c := range v.Map().Cells {
		if c.State == Owned {
			return false
		}
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return true
}

// show answers GET /v1/cluster.
func (v *Overview) show(ctx *fasthttp.RequestCtx) error {
	token, err := v.authorize(ctx, access.RightSelf)
	if err != nil {
		return err
	}
	m := v.Map()
	if token.Account != "" {
		for cell := range v.o.Cells {
			if c := v.o.Catalogues(cell); c != nil && c.Account(token.Account) != nil {
				m.Cell = &cell
				break
			}
		}
	}
	return answerJSON(ctx, m)
}

func answerJSON(ctx *fasthttp.RequestCtx, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("answer about the cluster: %w", err)
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(b, '\n'))
	return nil
}

// forget answers POST /v1/cluster/nodes/NODE/forget.
func (v *Overview) forget(ctx *fasthttp.RequestCtx, node string) error {
	if err := method(ctx, fasthttp.MethodPost); err != nil {
		return err
	}
	token, err := v.authorize(ctx, access.RightAdminister)
	if err != nil {
		return err
	}
	if err := readBody(ctx, &struct{}{}); err != nil {
		return err
	}
	c, cancel := context.WithTimeout(context.Background(), askMax)
	defer cancel()
	answer, err := v.o.Forget(c, node)
	v.o.Logger.Info("an operator asked to forget a node", "forget", node, "said", answer.Said, "token", token.Name,
		"error", err)
	if err != nil {
		return &event.Problem{Code: event.ClusterRefused, Detail: err.Error()}
	}
	return answerJSON(ctx, answer)
}

// operate answers the calls that change something.
func (v *Overview) operate(ctx *fasthttp.RequestCtx, token *access.Token, cell int, call string) error {
	var asked struct {
		Node string `json:"node"`
	}
	into := any(&asked)
	if call == "repair" {
		into = &struct{}{}
	}
	if err := readBody(ctx, into); err != nil {
		return err
	}
	if call == "move" && asked.Node == "" {
		return &event.Problem{
			Code:   event.InvalidArgument,
			Field:  "node",
			Detail: "node: name the node that shall own the cell",
		}
	}
	c, cancel := context.WithTimeout(context.Background(), askMax)
	defer cancel()
	var err error
	if call == "move" {
		if err = v.o.Move(c, cell, asked.Node); err == nil {
			err = v.moved(c, cell, asked.Node)
		}
	} else {
		err = v.o.Repair(c, cell)
	}
	v.o.Logger.Info("an operator asked for a cell", "call", call, "cell", cell, "to", asked.Node, "token", token.Name,
		"error", err)
	if err != nil {
		return &event.Problem{Code: event.ClusterRefused, Detail: err.Error()}
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// moved returns when this node knows that a cell which was handed over has its new owner: whoever is answered finds it
// there.
func (v *Overview) moved(ctx context.Context, cell int, node string) error {
	ctx, cancel := context.WithTimeout(ctx, movedMax)
	defer cancel()
	for {
		changed := v.o.Board.Changed() // Before it is looked.
		if owner, _, _, ok := v.o.Board.Owner(cell); ok && owner == node {
			v.mu.Lock()
			v.madeAt = time.Time{} // What was shown last is over.
			v.mu.Unlock()
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("cell %d was handed over, but node %q does not own it yet: look who does, and at that node's log",
				cell, node)
		}
	}
}

// readBody reads a body of one JSON object, or none, into what it may have.
func readBody(ctx *fasthttp.RequestCtx, into any) error {
	if ctx.Request.Header.ContentLength() > bodyBytesMax {
		return &event.Problem{Code: event.BodyTooLarge, Detail: fmt.Sprintf("the body is over %d bytes", bodyBytesMax)}
	}
	var body []byte
	var err error
	if stream := ctx.RequestBodyStream(); stream != nil {
		body, err = io.ReadAll(io.LimitReader(stream, bodyBytesMax+1))
	} else {
		body = ctx.Request.Body()
	}
	switch {
	case err != nil:
		return &event.Problem{Code: event.BadRequest, Detail: "the body ended too early"}
	case len(body) > bodyBytesMax:
		return &event.Problem{Code: event.BodyTooLarge, Detail: fmt.Sprintf("the body is over %d bytes", bodyBytesMax)}
	case len(bytes.TrimSpace(body)) == 0:
		return nil
	}
	if kind, _, _ := strings.Cut(string(ctx.Request.Header.ContentType()), ";"); kind != "" && kind != "application/json" {
		return &event.Problem{
			Code: event.UnsupportedMedia, Field: "Content-Type", Detail: "Content-Type: must be application/json",
		}
	}
	if name := givenTwice(body); name != "" {
		return &event.Problem{Code: event.InvalidArgument, Field: name, Detail: name + ": is given twice"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		return &event.Problem{
			Code:   event.BadRequest,
			Detail: `the body must be like {"node":"n2"} for move, and empty for repair and forget`,
		}
	}
	return nil
}

// givenTwice returns the name of a member that an object has more than once, "" for none, and for what is no object.
func givenTwice(body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, is := t.(string)
		var value json.RawMessage
		if err != nil || !is || d.Decode(&value) != nil {
			return "" // It is refused as what it is.
		}
		if name = strings.ToLower(name); seen[name] { // The decoder does not tell them apart either.
			return name
		}
		seen[name] = true
	}
	return ""
}

func method(ctx *fasthttp.RequestCtx, allowed ...string) error {
	for _, m := range allowed {
		if string(ctx.Method()) == m {
			return nil
		}
	}
	list := strings.Join(allowed, ", ")
	ctx.Response.Header.Set(fasthttp.HeaderAllow, list)
	return &event.Problem{Code: event.MethodNotAllowed, Detail: "use " + strings.ReplaceAll(list, ", ", " or ")}
}

// authorize returns the request's token, or the problem to answer. A token that is bound to an account is in the copy
// of its account's cell alone; of the others cell 0's copy decides, and not one that is behind it.
func (v *Overview) authorize(ctx *fasthttp.RequestCtx, right access.Right) (*access.Token, error) {
	if v.o.Catalogues(0) == nil {
		return nil, &event.Problem{Code: event.Overloaded, Detail: "this node has no copy of cell 0 yet"}
	}
	nowMs := time.Now().UnixMilli()
	header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	for cell := range v.o.Cells {
		catalogue := v.o.Catalogues(cell)
		if catalogue == nil {
			continue
		}
		token, p := access.Authorize(catalogue, header, right, nowMs)
		if p == nil && (cell == 0 || token.Account != "") {
			return token, nil
		}
		if p != nil && p.Code != event.Unauthorized {
			return nil, p
		}
	}
	if !v.penalties.Hold(ctx.RemoteIP(), nowMs, ctx.Done()) {
		ctx.SetConnectionClose()
	}
	return nil, v.o.Unknown(ctx)
}

// refuse answers an error. If its body was not read to the end the connection cannot be used again.
func (v *Overview) refuse(ctx *fasthttp.RequestCtx, err error) {
	var p *event.Problem
	if !errors.As(err, &p) {
		v.o.Logger.Error("a call about the cluster failed", "error", err)
		p = &event.Problem{Code: event.InternalError}
	}
	if ctx.Request.Header.ContentLength() != 0 && !ctx.IsGet() && !ctx.IsHead() {
		ctx.SetConnectionClose()
	}
	ctx.SetStatusCode(p.Code.Status())
	ctx.SetContentType("application/problem+json")
	switch p.Code.Status() {
	case fasthttp.StatusServiceUnavailable:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, event.RetryAfter())
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
	ctx.SetBody(wire.AppendProblem(nil, p))
}
