package jetlog

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/nats-io/nats.go"
)

// fillHeader is the header of NATS that holds a filling. No reader of the stream looks at headers.
const fillHeader = "Meterd-Fill"

// Fill has the next messages carry FillBytes that say nothing, some in each. A message that is purged stays in its
// file, of the stream or of the Raft log of each replica, until all that is in the file has gone: behind a filling,
// what was before it is in other files than what comes then. It is safe for concurrent use.
func (j *JetStream) Fill() {
	j.filled.Store(0)
	j.fill.Store(FillBytes)
}

// Filled returns the message with which the last filling ended, 0 as long as it has not. It is safe for concurrent use.
func (j *JetStream) Filled() (seq uint64) { return j.filled.Load() }

// filling returns the headers of a message of n bytes, and how many bytes of a filling they are.
func (j *JetStream) filling(n int) (h nats.Header, bytes int64) {
	if j.fill.Load() <= 0 || n > MessageBytesMax-fillPart {
		return nil, 0
	}
	var random [fillPart / 4 * 3]byte
	rand.Read(random[:]) // It never fails. What compresses would be small in the Raft log.
	return nats.Header{fillHeader: {base64.StdEncoding.EncodeToString(random[:])}}, fillPart
}

// sent notes that so much of a filling is stored, with message seq.
func (j *JetStream) sent(filling int64, seq uint64) {
	if filling > 0 && j.fill.Add(-filling) <= 0 {
		j.filled.Store(seq)
	}
}
