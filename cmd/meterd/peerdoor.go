package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/cluster/board"
)

// peerDoor is another node's door, where this one asks for files that it has.
type peerDoor struct {
	node, address string
	hop           access.Hop
	tls           *tls.Config // nil: without
}

// doorOf returns the door of a node that is heard.
func (c *cellCopy) doorOf(s *board.Status) peerDoor {
	return peerDoor{node: s.Node, address: s.Address, hop: c.hop, tls: c.node.peer(s.Node)}
}

// get copies what lies at a path to w. What is not there is fs.ErrNotExist.
func (p peerDoor) get(ctx context.Context, path string, w io.Writer) error {
	o := client.AdminOptions{
		URL: "http://" + p.address, Timeout: peerSilence, TLS: p.tls,
		Header: http.Header{access.HeaderHop: {string(p.hop.Inner())}},
	}
	if p.tls != nil {
		o.URL = "https://" + p.address
	}
	admin, err := client.NewAdmin(o)
	if err != nil {
		return err
	}
	defer admin.Close()
	_, err = admin.Download(ctx, path, nil, w)
	if p := (*client.Problem)(nil); errors.As(err, &p) && p.Status == http.StatusNotFound {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// sends has a node's door send other nodes what lies below a path, so many things at a time; next answers everything
// else. open is given what follows the path; the size is -1 if nobody knows it.
func (n *node) sends(
	below string, atOnce int, open func(path string) (f io.ReadCloser, size int, err error), next fasthttp.RequestHandler,
) fasthttp.RequestHandler {
	inner := n.hop.Inner()
	place := make(chan struct{}, atOnce)
	return func(ctx *fasthttp.RequestCtx) {
		path, is := strings.CutPrefix(string(ctx.Path()), below)
		if !is || !ctx.IsGet() || !inner.Holds(ctx.Request.Header.Peek(access.HeaderHop)) {
			next(ctx)
			return
		}
		select {
		case place <- struct{}{}:
		default:
			ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
			return
		}
		leave := func() { <-place }
		f, size, err := open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			leave()
			ctx.SetStatusCode(fasthttp.StatusNotFound)
		case err != nil:
			leave()
			n.logger.Warn("a file cannot be sent to another node", "file", below+path, "error", err)
			ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		default:
			ctx.SetBodyStream(&sentFile{ReadCloser: f, conn: ctx.Conn(), leave: leave}, size)
		}
	}
}

// sentFile gives whoever reads a file time for each piece of it.
type sentFile struct {
	io.ReadCloser
	conn  net.Conn
	leave func()
}

// Read implements io.Reader.
func (s *sentFile) Read(b []byte) (int, error) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(peerSilence)) // It fails on a closed connection, as writing will.
	return s.ReadCloser.Read(b)
}

// Close implements io.Closer.
func (s *sentFile) Close() error {
	defer s.leave()
	return s.ReadCloser.Close()
}
