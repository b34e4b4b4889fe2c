package license

import (
	"testing"

	"pgregory.net/rapid"
)

// A product has open days if something was counted on a day behind the closed ones: it is never said that there are
// none, and of a product that rests only for so long as it takes to notice.
func TestOpenDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d OpenDays
		open := map[uint32]bool{}
		running := uint32(1)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				running += rapid.Uint32Range(0, 3).Draw(t, "days")
			case 1:
				day := running - rapid.Uint32Range(0, min(1, running-1)).Draw(t, "of a turn that began before midnight")
				if day > d.Through() {
					d.Use(day)
					open[day] = true
				}
			case 2:
				d.Close(running - 1)
				for day := range open {
					if day < running {
						delete(open, day)
					}
				}
			}
			want := false
			for day := range open {
				want = want || day < running
			}
			if got := d.Before(running); got != want {
				t.Fatalf("on day %d: %v, want %v, of %v", running, got, want, open)
			}
		}
	})
}
