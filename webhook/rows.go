package webhook

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meterd/meterd/retention/ledger"
)

// Key spaces; FORMAT.md draws keys and values. A hook is its number, which is never given twice.
const (
	keyBegun = "B"
	keyQueue = "Q" // + hook, number of the message: it waits
	keyDead  = "D" // + hook, number of the message: a dead letter
	keyState = "S" // + hook
	keyTold  = "T" // + hook, kind, product: what it was told, so that it is told once
	keyStop  = "I" // + reason: ingest is stopped, and that was told
)

// Store is an ordered map on disk whose transactions carry the position that they lead to: ledger.Store.
type Store interface {
	Position() ledger.Position
	Write(entries []ledger.Entry, to ledger.Position) error
	WritePart(entries []ledger.Entry) error
	Get(key []byte) (value []byte, found bool, err error)
	Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
	// Maintain gives back some of the space of rows that were deleted.
	Maintain(ctx context.Context, nowMs int64) error
	Close() error
}

func hookKey(space string, hook uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(space), hook)
}

func messageKey(space string, hook, number uint64) []byte {
	return binary.BigEndian.AppendUint64(hookKey(space, hook), number)
}

// numbersOf returns the hook and the message that a key of a queue or of dead letters names.
func numbersOf(key []byte) (hook, number uint64, err error) {
	if len(key) != 17 {
		return 0, 0, fmt.Errorf("a message of a webhook has a damaged key: %x", key)
	}
	return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), nil
}

func put(key []byte, value any) ledger.Entry { return ledger.Entry{Key: key, Value: mustJSON(value)} }

func remove(key []byte) ledger.Entry { return ledger.Entry{Key: key, Delete: true} }

// state is what is kept about a hook's deliveries.
type state struct {
	Delivered      uint64 `json:"delivered"`
	Failed         uint64 `json:"failed"`  // tries
	Dropped        uint64 `json:"dropped"` // messages that found the queue full
	DeliveredMs    int64  `json:"delivered_ms,omitempty"`
	TriedMs        int64  `json:"tried_ms,omitempty"`
	FailingSinceMs int64  `json:"failing_since_ms,omitempty"` // 0: the last try succeeded
	Tries          uint64 `json:"tries,omitempty"`            // since then
	Error          string `json:"error,omitempty"`            // of the last try
	// GoneAtChangeMs is the change of the hook that its receiver wants no more messages of (410); 0: it takes them.
	GoneAtChangeMs int64 `json:"gone_at_change_ms,omitempty"`
}

// decodeState reads the state of a hook.
func decodeState(row []byte) (s state, err error) {
	if err := json.Unmarshal(row, &s); err != nil {
		return state{}, fmt.Errorf("the state of a webhook is damaged: %.80q", row)
	}
	return s, nil
}

// write writes entries, and moves the position with the last of them when it is given. Many entries take several
// transactions: after a crash between them the groups are applied again.
func write(store Store, entries []ledger.Entry, to *ledger.Position) error {
	p := ledger.NewParts(store)
	if err := p.Add(entries...); err != nil {
		return err
	}
	if to != nil {
		return p.Finish(*to)
	}
	return p.Flush()
}

var errDamagedKey = errors.New("a row of the webhooks has a damaged key")
