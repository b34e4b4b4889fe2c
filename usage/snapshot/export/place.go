package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"strings"
)

// Place is where snapshots are exported to. Names have slashes.
type Place interface {
	// Get returns what is there under a name, at most manifestBytesMax bytes; fs.ErrNotExist if nothing is.
	Get(ctx context.Context, name string) ([]byte, error)
	// Put makes content what is there under a name, as a whole or not at all.
	Put(ctx context.Context, name, contentType string, content Content, bytes int64) error
}

// Content is what is put.
type Content interface {
	io.Reader
	io.ReaderAt
}

// Environment returns a variable of the environment, "" if it is not set.
type Environment func(name string) string

// ParsePlace returns the place that --export-to names: s3://BUCKET/PREFIX, or an absolute path. What S3 needs beside it
// is in the environment: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without keys ~/.aws/credentials and the machine's role are asked.
func ParsePlace(to string, env Environment) (Place, error) {
	rest, isS3 := strings.CutPrefix(to, "s3://")
	if !isS3 {
		if !filepath.IsAbs(to) {
			return nil, errors.New("must be s3://BUCKET/PREFIX or an absolute path")
		}
		return newDirectory(filepath.Clean(to)), nil
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	prefix = strings.Trim(prefix, "/")
	if bucket == "" || prefix != "" && path.Clean("/"+prefix) != "/"+prefix {
		return nil, errors.New("must be s3://BUCKET/PREFIX")
	}
	endpoint := first(env("AWS_ENDPOINT_URL_S3"), env("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com")
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || strings.Trim(at.Path, "/") != "" {
		return nil, fmt.Errorf("the endpoint %q of AWS_ENDPOINT_URL must be http://HOST:PORT or https://HOST:PORT", endpoint)
	}
	return newBucket(bucketOptions{
		host: at.Host, secure: at.Scheme == "https", region: first(env("AWS_REGION"), env("AWS_DEFAULT_REGION")),
		bucket: bucket, prefix: prefix, key: env("AWS_ACCESS_KEY_ID"), secret: env("AWS_SECRET_ACCESS_KEY"),
		session: env("AWS_SESSION_TOKEN"),
	})
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// notThere is the error of Get for a name that nothing has.
func notThere(name string) error { return fmt.Errorf("read %q: %w", name, fs.ErrNotExist) }
