package archive

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// TestBytesADenial: the numbers of the quota cost an archived denial almost nothing.
func TestBytesADenial(t *testing.T) {
	const groups, rowsAGroup, most = 200, 1000, 0.1
	for _, devices := range []int{5000, 1_000_000} {
		each := map[bool]float64{}
		for _, hasNumbers := range []bool{false, true} {
			s := testStore(t, Options{Path: filepath.Join(t.TempDir(), "archive")})
			dice := rand.New(rand.NewPCG(1, 2))
			denied := make([]uint64, devices)
			var rows []Row
			for i := range groups {
				g := historyGroup{seq: uint64(i + 1), firstMs: beginMs + int64(i)*1000, lastMs: beginMs + int64(i)*1000}
				rows = rows[:0]
				for range rowsAGroup {
					o := uint64(dice.IntN(devices))
					denied[o]++
					r := Row{
						Device: Known(0, o), DecidedMs: g.firstMs, Type: typeUp, Code: 1, Counted: true, Size: 120, Day: 9,
						Used: 1500, Denied: denied[o],
					}
					if hasNumbers { // Of three products.
						r.Quota = Quota{Limit: 1500, Used: 1500, ResetsAtMs: beginMs + int64(productOf(o))*3_600_000}
					}
					rows = append(rows, r)
				}
				g.rows = rows
				g.feed(t, s)
			}
			if err := s.WriteRun(); err != nil {
				t.Fatal(err)
			}
			x := s.Stats()
			each[hasNumbers] = float64(x.Bytes) / float64(x.Rows)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d devices: %.3f bytes a denial, %.3f without the numbers", devices, each[true], each[false])
		if n := each[true] - each[false]; n > most {
			t.Errorf("%d devices: the numbers take %.2f bytes a denial, %.2f are the most", devices, n, most)
		}
	}
}
