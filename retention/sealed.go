package retention

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// ErrDamaged is wrapped by every error about bytes that are not what was written.
var ErrDamaged = errors.New("damaged")

// castagnoli is computed in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// damage names the file or directory, what is wrong with it and what to do.
func damage(path, format string, args ...any) error {
	return fmt.Errorf("%q is %w: %s; check the disk, and put this data directory back from a backup "+
		"(or move it away to start empty)", path, ErrDamaged, fmt.Sprintf(format, args...))
}

// A sealed file is a few lines of text that a person can read and a flipped bit cannot get past: a title, "name value"
// lines, and the CRC32C of all of them.
func encodeSealed(title string, fields [][2]string) []byte {
	var b bytes.Buffer
	b.WriteString("meterd " + title + "\n")
	for _, f := range fields {
		b.WriteString(f[0] + " " + f[1] + "\n")
	}
	fmt.Fprintf(&b, "crc32c %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// decodeSealed returns the fields of a sealed file, or what is wrong with it.
func decodeSealed(data []byte, title string) (map[string]string, error) {
	const sumBytes = len("crc32c 00000000\n")
	if len(data) <= sumBytes || len(data) > sealedBytesMax {
		return nil, fmt.Errorf("it has %d bytes", len(data))
	}
	body, sum := data[:len(data)-sumBytes], string(data[len(data)-sumBytes:])
	if want := fmt.Sprintf("crc32c %08x\n", crc32.Checksum(body, castagnoli)); sum != want {
		return nil, errors.New("its checksum does not match")
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if lines[0] != "meterd "+title {
		return nil, fmt.Errorf("it begins with %q", lines[0])
	}
	fields := make(map[string]string, len(lines)-1)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, " ")
		fields[name] = value
	}
	return fields, nil
}

// readSealed reads a sealed file. A missing one is reported as os.ErrNotExist.
func readSealed(path, title string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	fields, err := decodeSealed(data, title)
	if err != nil {
		return nil, damage(path, "%v", err)
	}
	return fields, nil
}

// writeSynced replaces path by data: after it returns, a power cut leaves either the old file or the new one.
func writeSynced(path string, data []byte) error {
	tmp := path + tmpSuffix
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create %q: %w", tmp, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// tmpSuffix marks files that are not finished; they are removed at the next start.
const tmpSuffix = ".tmp"

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %q to sync it: %w", path, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync %q: %w", path, err)
	}
	return nil
}

// discard is the logger of those who give none.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// makeDir makes a directory that survives a power cut, if it is missing.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}
