package log

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/meterd/meterd/retention/disk"
)

// ErrGone says that a group lies before everything that is kept.
var ErrGone = errors.New("the group is no longer kept")

// castagnoli is computed in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// badFrame is a place of a segment that holds no whole frame of the group that must come. Recovery takes it for the
// log's end if nothing speaks against it; for everybody else it is damage.
type badFrame struct {
	at     int64 // byte of the file
	seq    uint64
	reason string
}

func (b *badFrame) Error() string {
	return fmt.Sprintf("byte %d, where group %d must begin: %s", b.at, b.seq, b.reason)
}

// damagedAt makes damage of a bad frame and leaves other errors as they are.
func damagedAt(path string, err error) error {
	if bad := (*badFrame)(nil); errors.As(err, &bad) {
		return disk.Damage(path, "%v", bad)
	}
	return err
}
