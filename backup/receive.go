package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// ErrIncomplete says that a copy has no manifest: its making was interrupted.
var ErrIncomplete = errors.New("the copy has no " + ManifestName + ": its making was interrupted, or is still going on")

// Receive reads what Write wrote and gives each file to a target. If it does not come whole and as its manifest says,
// everything that the target got is removed again.
func Receive(ctx context.Context, from io.Reader, to Target) (m *Manifest, err error) {
	r := &receiver{ctx: ctx, to: to, from: from, tar: tar.NewReader(from)}
	if m, err = r.all(); err != nil {
		return nil, errors.Join(err, removeAll(ctx, to, r.files))
	}
	return m, nil
}

type receiver struct {
	ctx   context.Context
	to    Target
	from  io.Reader
	tar   *tar.Reader
	files []File
}

func (r *receiver) all() (*Manifest, error) {
	for {
		h, err := r.tar.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("%w (%w)", ErrIncomplete, err)
		case err != nil:
			return nil, fmt.Errorf("read a copy: %w", err)
		case h.Typeflag != tar.TypeReg:
			return nil, fmt.Errorf("read a copy: %q is no file", h.Name)
		case h.Name == ManifestName:
			return r.manifest(h.Size)
		}
		if err := r.file(h.Name, h.Size); err != nil {
			return nil, err
		}
	}
}

func (r *receiver) file(name string, size int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(r.files) == filesMax {
		return fmt.Errorf("a copy has more than %d files", filesMax)
	}
	sum := sha256.New()
	r.files = append(r.files, File{Name: name, Bytes: size}) // Before: what is left of it is removed, too.
	if err := r.to.Put(r.ctx, name, io.TeeReader(r.tar, sum), size); err != nil {
		return err
	}
	r.files[len(r.files)-1].SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// manifest compares what came with what the manifest says, and ends with it.
func (r *receiver) manifest(size int64) (*Manifest, error) {
	b, err := readManifest(r.tar, size)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	for i, f := range m.Files {
		if i >= len(r.files) || r.files[i] != f {
			return nil, fmt.Errorf("%q did not come as %s says", f.Name, ManifestName)
		}
	}
	if len(r.files) > len(m.Files) {
		return nil, fmt.Errorf("%s does not name %q", ManifestName, r.files[len(m.Files)].Name)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return m, r.to.Put(r.ctx, ManifestName, bytes.NewReader(b), int64(len(b)))
}

// end reads up to the end of what is sent.
func (r *receiver) end() error {
	h, err := r.tar.Next()
	if err == nil {
		return fmt.Errorf("%q comes behind %s", h.Name, ManifestName)
	}
	if errors.Is(err, io.EOF) {
		_, err = io.Copy(io.Discard, r.from)
	}
	if err != nil {
		return fmt.Errorf("read the end of a copy: %w", err)
	}
	return nil
}

func readManifest(r io.Reader, size int64) ([]byte, error) {
	if size > manifestBytesMax {
		return nil, fmt.Errorf("%s has %d bytes", ManifestName, size)
	}
	b, err := io.ReadAll(io.LimitReader(r, manifestBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ManifestName, err)
	}
	return b, nil
}

// removeAll removes what a target got, the newest first. It has some time of its own, for ctx may be over.
func removeAll(ctx context.Context, to Target, files []File) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	for _, f := range slices.Backward(files) {
		if err := to.Remove(ctx, f.Name); err != nil {
			return fmt.Errorf("what has come of the copy is still there: %w", err)
		}
	}
	return nil
}

// proved reads a file of a copy; at its end it fails unless size and sum are what the manifest says.
type proved struct {
	r    io.Reader
	f    File
	n    int64
	hash hash.Hash
}

func prove(r io.Reader, f File) *proved { return &proved{r: r, f: f, hash: sha256.New()} }

func (p *proved) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	_, _ = p.hash.Write(b[:n]) // It never fails.
	switch {
	case p.n > p.f.Bytes:
		return n, disk.Damage(p.f.Name, "it has more than %d bytes", p.f.Bytes)
	case !errors.Is(err, io.EOF):
		return n, err
	case p.n < p.f.Bytes:
		return n, disk.Damage(p.f.Name, "it has %d bytes, and not %d", p.n, p.f.Bytes)
	case hex.EncodeToString(p.hash.Sum(nil)) != p.f.SHA256:
		return n, disk.Damage(p.f.Name, "its SHA-256 is not what %s says", ManifestName)
	}
	return n, err
}
