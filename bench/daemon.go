package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// daemon is a `meterd serve` that bench starts, on one data directory.
type daemon struct {
	child

	binary          string
	data            string
	checkpointEvery time.Duration
	cores           int      // how many it may use, counted from the first; 0: all
	more            []string // arguments of a node of a cluster
}

// start starts the daemon and returns how long it took until it said that it is ready. It chooses a free port itself.
func (d *daemon) start(ctx context.Context) (time.Duration, error) {
	args := []string{
		"serve", "--data", d.data, "--listen", "127.0.0.1:0", "--checkpoint-every", d.checkpointEvery.String(),
	}
	args = append(args, d.more...)
	d.child = child{
		name: "meterd", program: d.binary, args: args, log: filepath.Join(filepath.Dir(d.data), "daemon.log"),
		ready: readyAddress,
	}
	if d.cores > 0 {
		// env and taskset exec the next program, so the process that is started is the daemon.
		d.program = "env"
		d.args = append([]string{
			fmt.Sprintf("GOMAXPROCS=%d", d.cores), "taskset", "--cpu-list", fmt.Sprintf("0-%d", d.cores-1), d.binary,
		}, args...)
	}
	return d.child.start(ctx)
}

// readyAddress returns the address of the log line that says that the daemon is ready.
func readyAddress(line string) (string, bool) {
	if !strings.Contains(line, " msg=ready ") {
		return "", false
	}
	for field := range strings.FieldsSeq(line) {
		if address, ok := strings.CutPrefix(field, "address="); ok {
			return address, true
		}
	}
	return "", false
}
