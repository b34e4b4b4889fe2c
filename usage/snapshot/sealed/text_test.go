package sealed

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/retention/disk"
)

// TestTimeText: whatever day came before, a time reads as the library writes it.
func TestTimeText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text timeText
		for _, s := range rapid.SliceOf(rapid.OneOf(
			rapid.Int64Range(-3*daySeconds, 3*daySeconds), rapid.Int64Range(1_577_836_800, 10_000_000_000),
		)).Draw(t, "seconds") {
			want := "x" + time.Unix(s, 0).UTC().Format(time.RFC3339)
			if got := string(text.append([]byte("x"), s)); got != want {
				t.Fatalf("%d is %s, want %s", s, got, want)
			}
		}
	})
}

// TestSealedFile: a file holds what was written to it, of whatever length, and its checksum is of that.
func TestSealedFile(t *testing.T) {
	for _, n := range []int{0, 1, disk.PageBytes, writeBytes - 1, writeBytes, writeBytes + 1, 2*writeBytes + 12_345} {
		dir := t.TempDir()
		f, err := createFile(dir, "f", func(uint64) bool { return true })
		must(t, err)
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i % 251)
		}
		half := n / 3
		_, err = f.Write(want[:half])
		must(t, err)
		for i := half; i < n; i += 300 {
			must(t, f.append(append(f.buf, want[i:min(n, i+300)]...)))
		}
		known, err := f.finish(7)
		must(t, err)
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		must(t, err)
		sum := sha256.Sum256(want)
		if string(got) != string(want) || known != (File{"f", int64(n), 7, hex.EncodeToString(sum[:])}) {
			t.Errorf("%d bytes: there are %d, and it says %+v", n, len(got), known)
		}
	}
}
