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

// Sections calls fn for every section in order; data is valid until fn returns. Each section was checked when fn sees
// it; that the file as a whole is what was written is only known when Sections returns nil.
func (r *CheckpointReader) Sections(fn func(kind uint16, data []byte) error) error {
	var inFn error
	err := r.in.sections(func(kind uint16, data []byte) error {
		inFn = fn(kind, data)
		return inFn
	})
	if err != nil && inFn == nil {
		return Damage(r.path, "%v", err)
	}
	return err
}

// Close closes the file.
func (r *CheckpointReader) Close() error {
	if err := r.f.Close(); err != nil {
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

func (c *checkpointFile) sections(fn func(kind uint16, data []byte) error) error {
	var hash xxh3.Hasher
	end := int64(c.foot.bytes)
	in := bufio.NewReaderSize(io.NewSectionReader(c.r, 0, end), checkpointBufferBytes)
	buf := make([]byte, sectionHeaderBytes, checkpointBufferBytes)
	read := func(p []byte) error {
		_, err := io.ReadFull(in, p)
		_, _ = hash.Write(p) // It never fails.
		return err
	}
	if err := read(make([]byte, checkpointHeaderBytes)); err != nil {
		return fmt.Errorf("read its header: %w", err)
	}
	at, sections := int64(checkpointHeaderBytes), uint64(0)
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
		if err := fn(kind, data); err != nil {
			return err
		}
		at += sectionHeaderBytes + size
	}
	if sections != c.foot.sections || hash.Sum128().Bytes() != c.foot.hash {
		return errors.New("its sections are not what its footer says")
	}
	return nil
}
