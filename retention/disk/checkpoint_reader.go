package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/zeebo/xxh3"
)

// CheckpointReader reads one installed checkpoint.
type CheckpointReader struct {
	path string
	f    *os.File
	in   checkpointFile
	let  func() error // lets go of a file that is held; nil when none is
}

// checkpointFile is a checkpoint whose header and footer were read.
type checkpointFile struct {
	r    io.ReaderAt
	b    uint64
	foot footer
}

// Latest opens the newest installed checkpoint; nil without an error when there is none. A damaged one is an error: an
// older one is never taken in its place without somebody's decision.
func (c *Checkpoints) Latest() (*CheckpointReader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest()
}

// Hold is Latest, and keeps the file as it is until the reader is closed, although newer checkpoints are installed. An
// error of Close may be one of removing it then.
func (c *Checkpoints) Hold() (*CheckpointReader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.latest()
	if r == nil || err != nil {
		return nil, err
	}
	c.held[r.B()]++
	r.let = func() error {
		c.mu.Lock()
		if c.held[r.B()]--; c.held[r.B()] == 0 {
			delete(c.held, r.B())
		}
		c.mu.Unlock()
		return c.prune()
	}
	return r, nil
}

// latest opens the newest checkpoint. c.mu is held.
func (c *Checkpoints) latest() (*CheckpointReader, error) {
	installed, err := c.list()
	if err != nil || len(installed) == 0 {
		return nil, err
	}
	b := installed[len(installed)-1]
	r := &CheckpointReader{path: c.name(b)}
	if r.f, err = os.Open(r.path); err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	st, err := r.f.Stat()
	if err != nil {
		_ = r.f.Close()
		return nil, fmt.Errorf("open checkpoint %q: %w", r.path, err)
	}
	if err = r.in.open(r.f, st.Size()); err == nil && r.in.b != b {
		err = fmt.Errorf("it is of group %d, its name says %d", r.in.b, b)
	}
	if err != nil {
		_ = r.f.Close()
		return nil, Damage(r.path, "%v", err)
	}
	return r, nil
}

// B returns the last group that was sealed before copying began: replay starts at B + 1.
func (r *CheckpointReader) B() uint64 { return r.in.b }

// E returns the group that was open when copying ended: a log that ends before it has lost its tail.
func (r *CheckpointReader) E() uint64 { return r.in.foot.e }

// Bytes returns the size of the checkpoint.
func (r *CheckpointReader) Bytes() uint64 { return r.in.foot.bytes }

// Path returns the name of the file.
func (r *CheckpointReader) Path() string { return r.path }

// Content returns the bytes of the file, header and footer too. They can be read until the reader is closed.
func (r *CheckpointReader) Content() *io.SectionReader {
	return io.NewSectionReader(r.f, 0, int64(r.in.foot.bytes)+footerBytes)
}

// Sections calls fn for every section in order; data is valid until fn returns. Each section was checked when fn sees
// it; that the file as a whole is what was written is only known when Sections returns nil.
func (r *CheckpointReader) Sections(fn func(kind uint16, data []byte) error) error {
	return r.Places(func(_ int64, kind uint16, data []byte) error { return fn(kind, data) })
}

// Places is Sections with the place in the file at which each section begins.
func (r *CheckpointReader) Places(fn func(at int64, kind uint16, data []byte) error) error {
	return r.sections(checkpointHeaderBytes, fn)
}

// From calls fn for the sections from a place of Places on, until fn returns io.EOF or the file ends. It checks each
// section, not the file as a whole: Places did.
func (r *CheckpointReader) From(at int64, fn func(kind uint16, data []byte) error) error {
	err := r.sections(at, func(_ int64, kind uint16, data []byte) error { return fn(kind, data) })
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (r *CheckpointReader) sections(from int64, fn func(at int64, kind uint16, data []byte) error) error {
	var inFn error
	err := r.in.sections(from, func(at int64, kind uint16, data []byte) error {
		inFn = fn(at, kind, data)
		return inFn
	})
	if err != nil && inFn == nil {
		return Damage(r.path, "%v", err)
	}
	return err
}

// Close closes the file, and lets go of it if it was held.
func (r *CheckpointReader) Close() error {
	err := r.f.Close()
	if r.let != nil {
		err = errors.Join(err, r.let())
		r.let = nil
	}
	if err != nil {
		return fmt.Errorf("close checkpoint %q: %w", r.path, err)
	}
	return nil
}

// open reads header and footer.
func (c *checkpointFile) open(r io.ReaderAt, size int64) error {
	if size < checkpointHeaderBytes+footerBytes {
		return fmt.Errorf("it is cut off: it has %d bytes", size)
	}
	var head [checkpointHeaderBytes]byte
	var foot [footerBytes]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("read its header: %w", err)
	}
	if _, err := r.ReadAt(foot[:], size-footerBytes); err != nil {
		return fmt.Errorf("read its footer: %w", err)
	}
	var err error
	if c.b, err = decodeCheckpointHeader(head[:]); err != nil {
		return err
	}
	if err := c.foot.decode(foot[:]); err != nil {
		return err
	}
	if c.foot.bytes != uint64(size-footerBytes) {
		return fmt.Errorf("it has %d bytes, its footer says %d", size, c.foot.bytes+footerBytes)
	}
	c.r = r
	return nil
}

// sections reads sections from a place on. If that is the first one's, it proves the file as a whole too.
func (c *checkpointFile) sections(from int64, fn func(at int64, kind uint16, data []byte) error) error {
	var hash xxh3.Hasher
	whole := from == checkpointHeaderBytes
	end := int64(c.foot.bytes)
	if whole {
		var head [checkpointHeaderBytes]byte
		if _, err := c.r.ReadAt(head[:], 0); err != nil {
			return fmt.Errorf("read its header: %w", err)
		}
		_, _ = hash.Write(head[:]) // It never fails.
	}
	in := bufio.NewReaderSize(io.NewSectionReader(c.r, from, end-from), checkpointBufferBytes)
	buf := make([]byte, sectionHeaderBytes, checkpointBufferBytes)
	read := func(p []byte) error {
		_, err := io.ReadFull(in, p)
		if whole {
			_, _ = hash.Write(p)
		}
		return err
	}
	at, sections := from, uint64(0)
	for ; at < end; sections++ {
		head := buf[:sectionHeaderBytes]
		if err := read(head); err != nil {
			return fmt.Errorf("read section %d at byte %d: %w", sections, at, err)
		}
		kind, size := binary.LittleEndian.Uint16(head), int64(binary.LittleEndian.Uint32(head[2:]))
		sum, headSum := binary.LittleEndian.Uint32(head[6:]), crc32.Checksum(head[:6], castagnoli)
		if size > SectionBytesMax || at+sectionHeaderBytes+size > end {
			return fmt.Errorf("section %d at byte %d says that it has %d bytes", sections, at, size)
		}
		if int64(cap(buf)) < size {
			buf = make([]byte, SectionBytesMax)
		}
		data := buf[:size]
		if err := read(data); err != nil {
			return fmt.Errorf("read section %d at byte %d: %w", sections, at, err)
		}
		if crc32.Update(headSum, castagnoli, data) != sum {
			return fmt.Errorf("section %d at byte %d has a bad checksum", sections, at)
		}
		if err := fn(at, kind, data); err != nil {
			return err
		}
		at += sectionHeaderBytes + size
	}
	if whole && (sections != c.foot.sections || hash.Sum128().Bytes() != c.foot.hash) {
		return errors.New("its sections are not what its footer says")
	}
	return nil
}
