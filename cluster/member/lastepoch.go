package member

import (
	"fmt"
	"os"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/retention/disk"
)

// lastEpoch is the last epoch that a node has owned a cell in. If the stream still is in this epoch, and the node does
// not own the cell, nobody does: there is no silence to wait for. It lies in a file for the next process of the node.
// It is a hint: what is lost or old costs 5 seconds, and who owns the cell the stream decides.
type lastEpoch struct {
	path   string // empty: it is kept in memory only
	node   string
	stream board.Bytes16 // identity of the stream
	epoch  uint64        // of it; 0: none
}

// readLastEpoch reads the file. One that cannot be read says nothing.
func readLastEpoch(path, node string) lastEpoch {
	o := lastEpoch{path: path, node: node}
	b, err := os.ReadFile(path)
	if err != nil {
		return o
	}
	var epoch uint64
	var by string
	var stream []byte
	n, err := fmt.Sscanf(string(b), "%d %s %x", &epoch, &by, &stream)
	if n == 3 && err == nil && by == node && len(stream) == len(o.stream) {
		o.epoch, o.stream = epoch, board.Bytes16(stream)
	}
	return o
}

// note remembers an epoch of a stream.
func (o *lastEpoch) note(stream board.Bytes16, epoch uint64) error {
	o.stream, o.epoch = stream, epoch
	if o.path == "" {
		return nil
	}
	return disk.WriteSynced(o.path, fmt.Appendf(nil, "%d %s %x\n", epoch, o.node, stream))
}
