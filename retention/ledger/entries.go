package ledger

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Entries calls fn for every row in the order of their keys, with the time when it is over, so that Parts can write the
// same rows to another store. Key and value are valid until fn returns. An error of fn's is returned as it is.
func (i *Instant) Entries(fn func(Entry) error) error {
	if err := i.begin(); err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	defer i.done()
	var c cursor
	return i.s.each(&c, i.txn, nil, func() (more bool, err error) {
		return true, fn(Entry{Key: c.key, Value: c.value, UntilMs: untilMs(c.it.Item())})
	})
}

// untilMs returns when a row is over: what expiresAt was given, to the second.
func untilMs(item *badger.Item) int64 {
	at := item.ExpiresAt()
	if at <= farAwaySeconds {
		return 0
	}
	return int64(at-farAwaySeconds) * 1000
}
