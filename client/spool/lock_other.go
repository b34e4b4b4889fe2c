//go:build !unix

package spool

import (
	"fmt"
	"os"
	"runtime"
)

// lockDir refuses: without a lock that ends with its process two gateways could send the same batch.
func lockDir(dir string) (*os.File, error) {
	return nil, fmt.Errorf("spool %q: there is no flock on %s; leave the spool out", dir, runtime.GOOS)
}
