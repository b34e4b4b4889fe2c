package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
)

// AuditEntry says who changed what, when.
type AuditEntry struct {
	Seq    uint64          `json:"-"` // the number of the change
	AtMs   int64           `json:"at_ms"`
	Token  string          `json:"token"`
	Action string          `json:"action"`
	Target string          `json:"target"`
	Detail json.RawMessage `json:"detail"`
	// Refresh is the product whose gateways forget the denials that they remember, 0 for none.
	Refresh uint32 `json:"refresh,omitempty"`
}

// Actions that one package writes to the audit log and another one looks for.
const (
	ActionSnapshotCreate = "snapshot.create"
	ActionSnapshotRefuse = "snapshot.refuse"
	ActionSnapshotRemove = "snapshot.remove"
)

// KeyAudit is what keys of audit entries begin with; the number of the change follows, 8 bytes, big-endian, so that
// entries lie in the order of their making.
const KeyAudit = "U"

// AuditKey returns the key of the audit entry of change seq.
func AuditKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte(KeyAudit), seq) }

// Record returns the entry as it is kept.
func (e *AuditEntry) Record() Put { return put(AuditKey(e.Seq), e) }

// DecodeAudit reads what Record wrote.
func DecodeAudit(key, value []byte) (AuditEntry, error) {
	var e AuditEntry
	if len(key) != len(KeyAudit)+8 {
		return AuditEntry{}, fmt.Errorf("audit entry %x has a damaged key", key)
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return AuditEntry{}, fmt.Errorf("audit entry %x: %w", key, err)
	}
	e.Seq = binary.BigEndian.Uint64(key[len(KeyAudit):])
	return e, nil
}

// AccountOf returns the account that an audit entry concerns, "" if it is the daemon's alone: a token that is bound to
// an account reads the entries of its account. Names of accounts and products are never given twice, so what stands in
// an old entry is still the same.
func (c *Catalogue) AccountOf(e *AuditEntry) string {
	switch subject, _, _ := strings.Cut(e.Action, "."); subject {
	case "account":
		return e.Target
	case "product", "lot", "topup", "device":
		name, _, _ := strings.Cut(e.Target, "/") // A device is named PRODUCT/DEVICE.
		if p := c.Product([]byte(name)); p != nil {
			return p.Account
		}
	case "token", "webhook", "snapshot":
		return accountOfDetail(e)
	}
	return ""
}
