package retention

import "testing"

func TestWritableMapping(t *testing.T) {
	const prefix = "/data/commit/g1/"
	for _, tt := range []struct {
		line        string
		from, bytes uintptr
	}{
		{"7f0000000000-7f0000100000 rw-s 00000000 fe:00 131 /data/commit/g1/000001.vlog", 0x7f0000000000, 0x100000},
		{"7f0000000000-7f0000100000 rw-s 00000000 fe:00 131 /data/commit/g1/000001.vlog (deleted)", 0x7f0000000000, 0x100000},
		{"7f0000000000-7f0000100000 r--s 00000000 fe:00 131 /data/commit/g1/000001.sst", 0, 0},
		{"7f0000000000-7f0000100000 rw-s 00000000 fe:00 131 /data/commit/g10/000001.vlog", 0, 0},
		{"c000000000-c000400000 rw-p 00000000 00:00 0", 0, 0},
		{"nonsense rw-s 00000000 fe:00 131 /data/commit/g1/000001.vlog", 0, 0},
		{"", 0, 0},
	} {
		from, bytes, ok := writableMapping(tt.line, prefix)
		if ok != (tt.bytes > 0) || from != tt.from || bytes != tt.bytes {
			t.Errorf("%q: %x, %x, %v", tt.line, from, bytes, ok)
		}
	}
}
