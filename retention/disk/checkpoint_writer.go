package disk

import (
	"errors"
	"fmt"
	"os"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// CheckpointWriter writes one checkpoint. It belongs to one goroutine.
type CheckpointWriter struct {
	dir     *Checkpoints
	b       uint64
	f       *os.File
	buf     []byte
	written int64 // what is in the file
	begun   int64 // what the kernel was told to write back
	hash    xxh3.Hasher
	foot    footer
	err     error
}

const (
	// checkpointBufferBytes makes writes few.
	checkpointBufferBytes = 1 << 20
	// checkpointFlushBytes is how much is written back at a time, and twice that is the most that waits for the disk: the
	// commit log's syncs wait behind it.
	checkpointFlushBytes = 1 << 20
)

// Create begins a checkpoint of the state that has everything up to group b, the last one sealed before copying began.
// Until Commit nothing of it counts.
func (c *Checkpoints) Create(b uint64) (*CheckpointWriter, error) {
	f, err := os.OpenFile(c.name(b)+TmpSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create checkpoint: %w", err)
	}
	w := &CheckpointWriter{dir: c, b: b, f: f, buf: make([]byte, 0, checkpointBufferBytes)}
	w.put(appendCheckpointHeader(nil, b))
	return w, nil
}

// Section appends a section of at most SectionBytesMax bytes; data is not kept. After an error only Abort makes sense.
func (w *CheckpointWriter) Section(kind uint16, data []byte) error {
	if w.err == nil && len(data) > SectionBytesMax {
		w.err = fmt.Errorf("write checkpoint %q: a section of %d bytes, at most %d", w.f.Name(), len(data), SectionBytesMax)
	}
	if w.err != nil {
		return w.err
	}
	var head [sectionHeaderBytes]byte
	w.put(appendSectionHeader(head[:0], kind, data))
	w.put(data)
	w.foot.sections++
	return w.err
}

// put appends bytes to the file by way of the buffer.
func (w *CheckpointWriter) put(p []byte) {
	if w.err != nil {
		return
	}
	_, _ = w.hash.Write(p) // It never fails.
	w.foot.bytes += uint64(len(p))
	if len(w.buf)+len(p) > cap(w.buf) {
		w.write(w.buf)
		w.buf = w.buf[:0]
	}
	for len(p) > cap(w.buf) { // In pieces, so that the kernel is not given more than is flushed.
		w.write(p[:checkpointBufferBytes])
		p = p[checkpointBufferBytes:]
	}
	w.buf = append(w.buf, p...)
}

func (w *CheckpointWriter) write(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	if _, err := w.f.Write(p); err != nil {
		w.err = fmt.Errorf("write checkpoint: %w", err)
		return
	}
	w.written += int64(len(p))
	for w.written-w.begun >= checkpointFlushBytes {
		w.flush()
	}
}

// flush begins to write back the next piece, and returns when the one before it is written. Where that is not known the
// final sync has more to do.
func (w *CheckpointWriter) flush() {
	fd := int(w.f.Fd())
	_ = unix.SyncFileRange(fd, w.begun, checkpointFlushBytes, unix.SYNC_FILE_RANGE_WRITE)
	if before := w.begun - checkpointFlushBytes; before >= 0 {
		_ = unix.SyncFileRange(fd, before, checkpointFlushBytes, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	}
	w.begun += checkpointFlushBytes
}

// Bytes returns how large the checkpoint is so far.
func (w *CheckpointWriter) Bytes() uint64 { return w.foot.bytes }

// Commit installs the checkpoint: e is the group that was open when copying ended, and must be on disk by now. When it
// returns nil the checkpoint is on disk under its name, and older ones are gone. It ends the writer either way.
func (w *CheckpointWriter) Commit(e uint64) error {
	w.foot.e = e
	w.foot.hash = w.hash.Sum128().Bytes()
	w.write(w.buf)
	w.write(w.foot.append(nil))
	err := w.err
	if err == nil {
		err = w.f.Sync()
	}
	if cerr := w.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = w.dir.install(w.f.Name(), w.b)
	}
	w.ended()
	if err != nil {
		_ = os.Remove(w.f.Name()) // The next start removes it otherwise.
		return fmt.Errorf("install checkpoint of group %d: %w", w.b, err)
	}
	if err := SyncDir(w.dir.path); err != nil {
		return err
	}
	return w.dir.prune()
}

// Abort throws the checkpoint away. After Commit it does nothing.
func (w *CheckpointWriter) Abort() error {
	if errors.Is(w.err, errCheckpointEnded) {
		return nil
	}
	w.ended()
	_ = w.f.Close() // It is removed.
	if err := os.Remove(w.f.Name()); err != nil {
		return fmt.Errorf("abort checkpoint: %w", err)
	}
	return nil
}

func (w *CheckpointWriter) ended() { w.err = errCheckpointEnded }

var errCheckpointEnded = errors.New("the checkpoint was committed or aborted")
