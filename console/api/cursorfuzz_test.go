package api

import "testing"

// FuzzCursor: whatever stands for a cursor, it is refused, or read as the place that the same cursor, written again,
// stands for; and one more than its numbers never wraps.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		"", ".", "1", "1.2", "1.2.3", "01.+2", "1.2.", "-1", "4611686018427387903.4611686018427387903",
		"4611686018427387904", "9223372036854775807.1", "1e3", "1_000", "٣", "1.2.3.4",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for n := 1; n <= 3; n++ {
			var a, b [3]uint64
			to := func(x *[3]uint64) []*uint64 { return []*uint64{&x[0], &x[1], &x[2]}[:n] }
			if !readCursor(text, to(&a)...) {
				continue
			}
			for _, number := range a {
				if number >= 1<<cursorBits {
					t.Fatalf("%q is read as %d", text, a)
				}
			}
			if again := *cursorOf(a[:n]...); !readCursor(again, to(&b)...) || a != b {
				t.Fatalf("%q is read as %d, written as %q, and read as %d", text, a, again, b)
			}
		}
		for _, log := range []askedLog{&deviceLog{}, &productLog{}} {
			at, ok := log.place(text)
			if !ok {
				continue
			}
			// The product of the device is not looked at.
			if back, ok := log.place(*log.cursor(at)); !ok || *log.cursor(back) != *log.cursor(at) || at.DecidedMs < 0 {
				t.Fatalf("%q is the place %+v, written again %+v, %t", text, at, back, ok)
			}
		}
	})
}
