package license

import (
	"fmt"
	"time"
)

// ScanFunc calls fn for every key of the ledger that begins with prefix, in the order of the keys.
type ScanFunc func(prefix string, fn func(key, value []byte) error) error

// Load builds the catalogue from records that lie in the order of their keys.
func Load(scan ScanFunc, region string, retention time.Duration) (*Catalogue, error) {
	l := NewLoader(region, retention)
	for _, kind := range []byte{keyHead, keyAccount, keyProduct, keyRenewal, keyOrder, keyVoid, keyToken, keySweep} {
		if err := scan(string(kind), l.Put); err != nil {
			return nil, fmt.Errorf("load records %c: %w", kind, err)
		}
	}
	return l.Catalogue()
}
