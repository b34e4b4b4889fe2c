package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/meterd/meterd/event"
)

// Actor is who changes something, and when.
type Actor struct {
	Token string
	AtMs  int64 // Unix milliseconds
}

// Put is one key-value pair of the ledger (FORMAT.md).
type Put struct{ Key, Value []byte }

// Change is what must be on disk, in one synced transaction, before the catalogue that came with it is swapped in.
type Change struct {
	Puts  []Put
	Audit AuditEntry
	// Apply, when not nil, is called at the instant of the swap, between two groups.
	Apply func()
	// Device, when not nil, is what the swap does to a device of the device table.
	Device *DeviceSuspension
}

// AuditEntry says who changed what, when.
type AuditEntry struct {
	Seq    uint64          `json:"-"` // the control sequence of the change
	AtMs   int64           `json:"at_ms"`
	Token  string          `json:"token"`
	Action string          `json:"action"`
	Target string          `json:"target"`
	Detail json.RawMessage `json:"detail"`
}

// Actions of the audit log after which denials that a gateway remembers may be wrong.
const (
	ActionLotCredit   = "lot.credit"
	ActionTopupCredit = "topup.credit"
	ActionPlan        = "product.plan"
)

// Key spaces of the ledger that this package owns.
const (
	keyHead    = "H"
	keyAccount = "A" // + ordinal
	keyProduct = "P" // + ordinal
	keyOrder   = "O" // + product ordinal + pool
	keyToken   = "T" // + name
	keyDevice  = "D" // + product ordinal + name: devices that were suspended or let go
	// KeyAudit is followed by the control sequence, 8 bytes, big-endian: audit entries lie in the order of their making.
	KeyAudit = "U"
)

func key32(prefix string, ns ...uint32) []byte {
	k := []byte(prefix)
	for _, n := range ns {
		k = binary.BigEndian.AppendUint32(k, n)
	}
	return k
}

// AuditKey returns the ledger key of the audit entry of control sequence seq.
func AuditKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte(KeyAudit), seq) }

// change begins the change that leads to n: its head and its audit entry.
func (n *Catalogue) change(by Actor, action, target string, detail any) *Change {
	ch := &Change{Audit: AuditEntry{
		Seq: n.Seq, AtMs: by.AtMs, Token: by.Token, Action: action, Target: target, Detail: mustJSON(detail),
	}}
	ch.put([]byte(keyHead), headRecord{Seq: n.Seq, PoolLast: n.poolLast, AccountLast: n.accountLast, Region: n.Region})
	ch.put(AuditKey(n.Seq), ch.Audit)
	return ch
}

func (ch *Change) put(key []byte, record any) {
	ch.Puts = append(ch.Puts, Put{Key: key, Value: mustJSON(record)})
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: a control record cannot be encoded: %v", err))
	}
	return b
}

// What the ledger holds of each object. Fields may be added; none changes its meaning.
type (
	headRecord struct {
		Seq         uint64 `json:"seq"`
		PoolLast    uint32 `json:"pool_last"`
		AccountLast uint32 `json:"account_last"`
		Region      string `json:"region"`
	}
	accountRecord struct {
		Name        string `json:"account"`
		Kind        string `json:"kind"`
		Region      string `json:"region"`
		Suspended   bool   `json:"suspended,omitempty"`
		CreatedAtMs int64  `json:"created_at_ms"`
		GiftPool    uint32 `json:"gift_pool"`
		Gifts       uint64 `json:"gifts"`
	}
	productRecord struct {
		Name        string         `json:"product"`
		Label       string         `json:"name"`
		AccountID   uint32         `json:"account_id"`
		Zone        string         `json:"time_zone"`
		Plan        Plan           `json:"plan"`
		PlanSinceMs int64          `json:"plan_since_ms"`
		Validities  []ValidityStep `json:"validities"`
		Suspended   bool           `json:"suspended,omitempty"`
		RenewalOff  bool           `json:"renewal_off,omitempty"`
		NoRenew     []string       `json:"renewal_except,omitempty"`
		CreatedAtMs int64          `json:"created_at_ms"`
	}
	orderRecord struct {
		Order        string `json:"order"`
		Units        bool   `json:"units,omitempty"`
		Credited     uint64 `json:"credited"`
		Quantity     uint64 `json:"quantity"`
		CreditedAtMs int64  `json:"credited_at_ms"`
		Plan         *Plan  `json:"plan,omitempty"`
		Voids        []Void `json:"voids,omitempty"`
	}
	tokenRecord struct {
		Role        Role   `json:"role"`
		Account     string `json:"account,omitempty"`
		AccountID   uint32 `json:"account_id,omitempty"`
		Hash        []byte `json:"sha256"`
		CreatedAtMs int64  `json:"created_at_ms"`
		ExpiresAtMs int64  `json:"expires_at_ms,omitempty"`
		Deleted     bool   `json:"deleted,omitempty"` // nothing else stands beside it
	}
)

func (ch *Change) putAccount(a *Account, gifts uint64) {
	ch.put(key32(keyAccount, a.ID), accountRecord{
		Name: a.Name, Kind: a.Kind, Region: a.Region, Suspended: a.Suspended, CreatedAtMs: a.CreatedAtMs,
		GiftPool: a.Gifts.ID, Gifts: gifts,
	})
}

func (ch *Change) putProduct(p *Product) {
	ch.put(key32(keyProduct, p.ID), productRecord{
		Name: p.Name, Label: p.Label, AccountID: p.AccountID, Zone: p.ZoneName, Plan: p.Plan, PlanSinceMs: p.PlanSinceMs,
		Validities: p.Validities, Suspended: p.Suspended, CreatedAtMs: p.CreatedAtMs,
		RenewalOff: !p.AutoRenew, NoRenew: sortedKeys(p.NoRenew),
	})
}

func (ch *Change) putLot(p *Product, l *Lot, quantity uint64) {
	ch.put(key32(keyOrder, p.ID, l.Pool.ID), orderRecord{
		Order:        l.Order,
		Units:        l.Units,
		Credited:     l.Credited,
		Quantity:     quantity,
		CreditedAtMs: l.CreditedAtMs,
		Plan:         l.plan,
		Voids:        l.Voids,
	})
}

func (ch *Change) putToken(t *Token) {
	ch.put([]byte(keyToken+t.Name), tokenRecord{
		Role: t.Role, Account: t.Account, AccountID: t.AccountID, Hash: t.Hash[:],
		CreatedAtMs: t.CreatedAtMs, ExpiresAtMs: t.ExpiresAtMs,
	})
}

func badName(field string) error {
	return &event.Problem{
		Code: event.InvalidArgument, Field: field,
		Detail: field + ": must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -",
	}
}

func invalid(field, detail string) error {
	return &event.Problem{Code: event.InvalidArgument, Field: field, Detail: field + ": " + detail}
}

// Note is a change of nothing but the audit log: something outside the catalogue was done.
func (c *Catalogue) Note(by Actor, action, target string, detail any) (*Catalogue, *Change) {
	n := c.next()
	return n, n.change(by, action, target, detail)
}
