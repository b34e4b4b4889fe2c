package client

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// Download copies what lies at a path to w and returns its bytes. It ends with an error when the answer broke off
// before its end, or was silent for the Timeout; time that w takes does not count. What w got then is not whole.
func (a *Admin) Download(ctx context.Context, path string, query url.Values, w io.Writer) (int64, error) {
	return a.DownloadAs(ctx, "*/*", path, query, w)
}

// DownloadAs is Download of what is answered as a media type, such as application/vnd.apache.parquet. An answer of
// another type is an error.
func (a *Admin) DownloadAs(
	ctx context.Context, media, path string, query url.Values, w io.Writer,
) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newSilence(a.opts.Timeout, cancel)
	defer watch.end()
	resp, err := a.ask(ctx, http.MethodGet, path, query, nil, media)
	watch.end()
	if err != nil {
		return 0, reasonOf(ctx, err)
	}
	defer resp.Body.Close()
	if got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "*/*" && got != media {
		return 0, fmt.Errorf("the answer to GET %s is %q, not %s", path, got, media)
	}
	n, err := io.Copy(w, watch.listen(resp.Body))
	if err != nil {
		return n, reasonOf(ctx, fmt.Errorf("read the answer to GET %s: %w", path, err))
	}
	return n, nil
}
