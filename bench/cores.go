package bench

import (
	"context"
	"fmt"
	"runtime"
)

// cores measures the daemon on all cores and on one. The loader stays as it is. The ratio shows how the daemon scales.
func cores(ctx context.Context, r *run) error {
	sides := []int{runtime.NumCPU(), 1}
	return r.compare(ctx, r.o.cases()[0], comparison{
		scenario: "cores", ratio: fmt.Sprintf("%d ÷ 1", sides[0]), rounds: 1,
		sides: len(sides), set: func(d *daemon, side int) { d.cores = sides[side] },
		name: func(side int) string { return fmt.Sprintf("cores=%d", sides[side]) },
	})
}
