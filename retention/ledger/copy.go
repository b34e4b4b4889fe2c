package ledger

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// OpenCopy copies a store's directory to a new directory below scratch, opens the copy, and removes it when it is
// closed: Badger cannot open a directory that a killed process left without writing to it. Nobody may have the original
// open; it is not changed. scratch needs room for as many bytes as the directory has; empty means the system's place
// for temporary files.
func OpenCopy(o Options, scratch string) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	copied, err := os.MkdirTemp(scratch, "meterd-ledger-")
	if err != nil {
		return nil, fmt.Errorf("copy the ledger: %w", err)
	}
	s, err := openCopy(&o, copied)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a copy of %q: %w", o.Path, err), os.RemoveAll(copied))
	}
	s.scratch = copied
	return s, nil
}

func openCopy(o *Options, copied string) (*Store, error) {
	files, err := os.ReadDir(o.Path)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", o.Path, err)
	}
	for _, f := range files {
		if f.Name() == "LOCK" || !f.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(copied, f.Name()), filepath.Join(o.Path, f.Name())); err != nil {
			return nil, fmt.Errorf("copy the ledger: %w", err)
		}
	}
	to := *o
	to.Path = copied
	if to.Logger == nil {
		to.Logger = slog.New(slog.DiscardHandler)
	}
	return Open(to)
}

// copyFile copies a file and leaves holes where it has only zeroes: Badger's files are longer than what is in them.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf := make([]byte, copyBytes)
	for at := int64(0); ; {
		n, rerr := io.ReadFull(in, buf)
		if n > 0 && strings.Trim(string(buf[:n]), "\x00") != "" {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			return out.Truncate(at)
		}
		if rerr != nil {
			return rerr
		}
	}
}
