package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// badgerManifest is the one file beside the tables that a directory is copied with: without it Badger knows no table.
// The others are empty.
const badgerManifest = "MANIFEST"

// Manifest returns what the archive's manifest says now, for another copy of the same log (Source).
func (s *Store) Manifest() []byte {
	s.mu.Lock()
	m := s.m
	s.mu.Unlock()
	return m.append(nil)
}

// Has reports whether the manifest names a directory with a sum.
func (s *Store) Has(sum Sum) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.m.directories, func(d directory) bool { return d.sum == sum && sum != Sum{} })
}

// Send writes the files of a directory that the manifest names, as a tar. The directory stays on the disk meanwhile. It
// returns ErrGone if there is none with that sum, and ends when the archive is closed.
func (s *Store) Send(sum Sum, to io.Writer) error {
	d := s.holdDir(func(d *openDir) bool { return d.sum == sum && sum != Sum{} })
	if d == nil {
		return ErrGone
	}
	defer s.letGo(d)
	path := filepath.Join(s.o.Path, d.name())
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("send %q: %w", path, err)
	}
	w := tar.NewWriter(to)
	for _, e := range entries {
		if !isCopied(e.Name()) {
			continue
		}
		if err := s.sendFile(w, filepath.Join(path, e.Name())); err != nil {
			return fmt.Errorf("send %q: %w", path, err)
		}
	}
	return w.Close()
}

// isCopied reports whether a file of a directory is one of those that are copied.
func isCopied(name string) bool {
	table, is := strings.CutSuffix(name, ".sst")
	return name == badgerManifest || is && table != "" && strings.Trim(table, "0123456789") == ""
}

func (s *Store) sendFile(w *tar.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // It was only read.
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := tar.Header{Name: filepath.Base(path), Size: info.Size(), Mode: 0o600, Typeflag: tar.TypeReg}
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, &openReader{s, f}, make([]byte, sendBytes))
	return err
}

// openReader reads until the archive is closed.
type openReader struct {
	s *Store
	r io.Reader
}

func (o *openReader) Read(b []byte) (int, error) {
	o.s.mu.Lock()
	closed := o.s.closed
	o.s.mu.Unlock()
	if closed {
		return 0, errClosed
	}
	return o.r.Read(b)
}

// receiveFiles makes a directory of what Send has written, of bytesMax at most. Nothing of it is synced.
func receiveFiles(path string, from io.Reader, bytesMax int64) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	buf := make([]byte, sendBytes)
	r := tar.NewReader(from)
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if bytesMax -= h.Size; h.Typeflag != tar.TypeReg || !isCopied(h.Name) || bytesMax < 0 || n == copyFilesMax {
			return fmt.Errorf("it has a file %q of %d bytes", h.Name, h.Size)
		}
		if err := receiveFile(filepath.Join(path, h.Name), r, buf); err != nil {
			return err
		}
	}
}

func receiveFile(path string, from io.Reader, buf []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, from, buf)
	return errors.Join(err, f.Close())
}
