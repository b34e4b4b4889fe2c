package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What is left after shortening is as it was, and after removing there is nothing.
func TestShortenAndRemoveGently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "segment")
	const bytesLeft = 10
	for _, size := range []int{bytesLeft, bytesLeft + 1, removeBytes, 2*removeBytes + 5} {
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		write(t, path, content)
		if err := ShortenGently(path, int64(size), bytesLeft); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content[:bytesLeft]) {
			t.Fatalf("%d bytes: %q, %v", size, left, err)
		}
		write(t, path, content)
		if err := RemoveGently(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	if err := RemoveGently(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
