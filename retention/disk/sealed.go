package disk

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
)

// castagnoli is computed in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeSealed returns a sealed file: a few lines of text that a person can read and a flipped bit cannot get past.
// They are a title, "name value" lines in the given order, and the CRC32C of all of them.
func EncodeSealed(title string, fields [][2]string) []byte {
	var b bytes.Buffer
	b.WriteString("meterd " + title + "\n")
	for _, f := range fields {
		b.WriteString(f[0] + " " + f[1] + "\n")
	}
	fmt.Fprintf(&b, "crc32c %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// DecodeSealed returns the fields of a sealed file by their names, or what is wrong with it.
func DecodeSealed(data []byte, title string) (map[string]string, error) {
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

// ReadSealed reads a sealed file of the title. A missing one is reported as os.ErrNotExist, a bad one as ErrDamaged.
func ReadSealed(path, title string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	fields, err := DecodeSealed(data, title)
	if err != nil {
		return nil, Damage(path, "%v", err)
	}
	return fields, nil
}
