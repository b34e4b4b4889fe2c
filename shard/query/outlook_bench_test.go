package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/license"
)

// BenchmarkOutlooks is one pass over the device table for all products. An operation is a device.
func BenchmarkOutlooks(b *testing.B) {
	const devices, batch = 200_000, 2000
	d := newDaemon(b)
	d.product("p", `{"validity":"P60D"}`, devices)
	for from := 0; from < devices; from += batch {
		var lines strings.Builder
		for i := range batch {
			lines.WriteString(line("connect", "p", fmt.Sprint("d", from+i)))
		}
		d.submit(lines.String())
	}
	for b.Loop() {
		list, err := d.Outlooks(b.Context(), 91, func(*license.Product) bool { return true })
		d.must(err)
		if o := list[d.productOf("p").ID]; o.Ending[60]+o.Ending[59] != devices {
			b.Fatalf("%d end", o.Ending)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/devices, "ns/device")
}
