package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// LogDays calls fn for every product whose record the change puts, with the log days of its plan behind the change, 0
// for the retention (R18).
func (ch *Change) LogDays(fn func(product, days uint32)) error {
	for _, p := range ch.Puts {
		if len(p.Key) != 1+4 || p.Key[0] != keyProduct {
			continue
		}
		var r productRecord
		if err := json.Unmarshal(p.Value, &r); err != nil {
			return fmt.Errorf("administrative change %d: the record of a product: %w", ch.Seq, err)
		}
		fn(binary.BigEndian.Uint32(p.Key[1:]), r.Plan.LogDays)
	}
	return nil
}
