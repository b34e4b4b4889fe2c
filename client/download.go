package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Download copies what lies at a path to w and returns its bytes. It ends with an error when the answer broke off
// before its end, or was silent for the Timeout; time that w takes does not count. What w got then is not whole.
func (a *Admin) Download(ctx context.Context, path string, query url.Values, w io.Writer) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newSilence(a.opts.Timeout, cancel)
	defer watch.end()
	resp, err := a.ask(ctx, http.MethodGet, path, query, nil, "*/*")
	watch.end()
	if err != nil {
		return 0, reasonOf(ctx, err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, watch.listen(resp.Body))
	if err != nil {
		return n, reasonOf(ctx, fmt.Errorf("read the answer to GET %s: %w", path, err))
	}
	return n, nil
}
