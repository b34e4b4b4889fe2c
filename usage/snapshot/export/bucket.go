package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Bucket is a Place in S3, or in what is compatible.
type Bucket struct {
	client       *minio.Client
	name, prefix string
}

type bucketOptions struct {
	host, region         string
	secure               bool
	bucket, prefix       string
	key, secret, session string
}

func newBucket(o bucketOptions) (*Bucket, error) {
	var keys *credentials.Credentials
	switch {
	case o.key != "" && o.secret != "":
		keys = credentials.NewStaticV4(o.key, o.secret, o.session)
	case o.key != "" || o.secret != "":
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together")
	default:
		keys = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.FileAWSCredentials{}, &credentials.IAM{},
		})
	}
	client, err := minio.New(o.host, &minio.Options{
		Creds: keys, Secure: o.secure, Region: o.region, MaxRetries: triesMax,
	})
	if err != nil {
		return nil, fmt.Errorf("speak to %s: %w", o.host, err)
	}
	return &Bucket{client: client, name: o.bucket, prefix: o.prefix}, nil
}

// Get returns what is there under a name.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	object, err := b.client.GetObject(ctx, b.name, path.Join(b.prefix, name), minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("read %q of bucket %q: %w", name, b.name, err)
	}
	defer object.Close()
	content, err := io.ReadAll(io.LimitReader(object, manifestBytesMax))
	switch {
	case err != nil && minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return nil, notThere(name)
	case err != nil:
		return nil, fmt.Errorf("read %q of bucket %q: %w", name, b.name, err)
	}
	return content, nil
}

// Put makes an object; a store shows it when all of it has arrived.
func (b *Bucket) Put(ctx context.Context, name, contentType string, content Content, bytes int64) error {
	return b.PutFrom(ctx, name, contentType, content, bytes)
}

// PutFrom is Put of what is read once: parts are held in memory to be sent again.
func (b *Bucket) PutFrom(ctx context.Context, name, contentType string, content io.Reader, bytes int64) error {
	_, err := b.client.PutObject(ctx, b.name, path.Join(b.prefix, name), content, bytes, minio.PutObjectOptions{
		ContentType: contentType, PartSize: partBytes,
		// The store proves the MD5 of each part. Not every store knows signatures over the chunks of a part.
		SendContentMd5: true, DisableContentSha256: true,
	})
	if err != nil {
		return fmt.Errorf("write %q to bucket %q: %w", name, b.name, err)
	}
	return nil
}

// Open reads an object from its beginning; fs.ErrNotExist if there is none.
func (b *Bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	object, err := b.client.GetObject(ctx, b.name, path.Join(b.prefix, name), minio.GetObjectOptions{})
	if err == nil {
		_, err = object.Stat()
	}
	switch {
	case err != nil && minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return nil, notThere(name)
	case err != nil:
		return nil, fmt.Errorf("read %q of bucket %q: %w", name, b.name, err)
	}
	return object, nil
}

// Remove removes an object. None is no error.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	err := b.client.RemoveObject(ctx, b.name, path.Join(b.prefix, name), minio.RemoveObjectOptions{})
	if err != nil {
		return fmt.Errorf("remove %q of bucket %q: %w", name, b.name, err)
	}
	return nil
}

// First returns the name of an object below the prefix, "" if there is none.
func (b *Bucket) First(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix := b.prefix
	if prefix != "" {
		prefix += "/"
	}
	object, ok := <-b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, MaxKeys: 1,
	})
	if ok && object.Err != nil {
		return "", fmt.Errorf("list bucket %q: %w", b.name, object.Err)
	}
	return object.Key, nil
}
