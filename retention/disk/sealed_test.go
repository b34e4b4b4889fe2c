package disk

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzSealed reads anything as a small text file.
func FuzzSealed(f *testing.F) {
	f.Add(EncodeSealed("t", [][2]string{{"a", "b"}, {"c", ""}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if fields, err := DecodeSealed(data, "t"); err == nil && fields == nil {
			t.Fatal("nothing came of a good file")
		}
	})
}

// refused fails the test unless err is about damage and names what it should.
func refused(t *testing.T, err error, names string) {
	t.Helper()
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), names) {
		t.Fatalf("want damage that names %q, got: %v", names, err)
	}
}

// flip changes one bit of a file.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
