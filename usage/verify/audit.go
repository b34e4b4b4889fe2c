package verify

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// What the audit log says of snapshots (license/FORMAT.md, U).
const (
	actionSealed  = "snapshot.create"
	actionRemoved = "snapshot.remove"
	daemonName    = "meterd" // token of what the daemon does by itself
)

// note is what the audit log says of a snapshot that was sealed, or removed later. Without account it is about all.
type note struct {
	removed   bool
	id, token string
	atMs      int64
	account   string
	sequence  uint64
	period    string
	final     bool
	rows      uint64
	sha256    string
	corrects  string
}

// decodeNote reads an entry; ok is false if it is about something else.
func decodeNote(action, id, token string, atMs int64, detail []byte) (n note, ok bool, err error) {
	if action != actionSealed && action != actionRemoved {
		return n, false, nil
	}
	var d struct {
		Account  *string `json:"account"`
		Sequence uint64  `json:"sequence"`
		Period   string  `json:"period"`
		Final    bool    `json:"final"`
		Rows     uint64  `json:"rows"`
		SHA256   string  `json:"sha256"`
		Corrects *string `json:"corrects"`
	}
	if err := json.Unmarshal(detail, &d); err != nil {
		return n, false, fmt.Errorf("the audit entry of snapshot %s: %w", id, err)
	}
	return note{
		action == actionRemoved, id, token, atMs, textOf(d.Account), d.Sequence, d.Period, d.Final, d.Rows, d.SHA256,
		textOf(d.Corrects),
	}, true, nil
}

func textOf(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// decodeRow reads a row U; ok is false if it is about something else.
func decodeRow(value []byte) (n note, ok bool, err error) {
	var row struct {
		AtMs                  int64 `json:"at_ms"`
		Token, Action, Target string
		Detail                json.RawMessage
	}
	if err := json.Unmarshal(value, &row); err != nil {
		return n, false, fmt.Errorf("an audit entry of the ledger: %w", err)
	}
	return decodeNote(row.Action, row.Target, row.Token, row.AtMs, row.Detail)
}

// notes are the audit entries of snapshots in the log, by the numbers of their changes.
type notes struct {
	bySeq    map[uint64]note
	first    uint64 // change of the log; 0: it has none
	last     uint64
	inLedger uint64 // changes up to this one are in the ledger
}

// add takes an entry of the log.
func (n *notes) add(ch *change) error {
	if n.last = ch.seq; n.first == 0 {
		n.first = ch.seq
	}
	decoded, ok, err := decodeNote(ch.action, string(ch.target), string(ch.token), ch.atMs, ch.detail)
	if !ok {
		return err
	}
	if n.bySeq == nil {
		n.bySeq = map[uint64]note{}
	}
	n.bySeq[ch.seq] = decoded
	return nil
}

// noted returns the newest audit entry of each snapshot, by id: of the log, and of what it has let go of the ledger's.
// What is in both must be equal.
func (v *verification) noted() (map[string]note, error) {
	newest, n := map[string]note{}, &v.r.cat.notes
	found := 0
	err := v.store.Scan([]byte("U"), nil, false, func(key, value []byte) (bool, error) {
		row, ok, err := decodeRow(value)
		if err == nil && len(key) != 9 {
			err = fmt.Errorf("an audit entry of the ledger has a key of %d bytes", len(key))
		}
		if err != nil {
			return false, err
		}
		seq := binary.BigEndian.Uint64(key[1:])
		said, inLog := n.bySeq[seq]
		switch {
		case inLog && (!ok || said != row), ok && !inLog && n.first > 0 && seq >= n.first && seq <= n.last:
			return false, &Difference{What: fmt.Sprintf("audit entry %d: the ledger says %+v, the log says %+v", seq, row, said)}
		case inLog && seq <= n.inLedger:
			found++
		case ok:
			newest[row.id] = row
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for seq := n.first; seq <= n.last && n.first > 0; seq++ {
		said, ok := n.bySeq[seq]
		if ok {
			newest[said.id] = said
		}
		if ok && seq <= n.inLedger {
			found--
		}
	}
	if found != 0 {
		return nil, &Difference{What: fmt.Sprintf("the ledger lacks %d audit entries of snapshots that the log has", -found)}
	}
	return newest, nil
}

// audit compares the snapshots that are there with what the audit log says was sealed.
func (v *verification) audit() error {
	noted, err := v.noted()
	if err != nil {
		return err
	}
	forgets, err := v.auditForgets()
	if err != nil {
		return err
	}
	return v.auditAgainst(noted, forgets)
}

// auditAgainst compares with audit entries, of which those of before the log may be lost: forgets.
func (v *verification) auditAgainst(noted map[string]note, forgets bool) error {
	sums := map[uint64]string{}
	for _, n := range noted {
		sums[n.sequence] = n.sha256
	}
	for i, m := range v.manifests {
		// Where the one before is there, follows has compared the two.
		if sum := sums[m.Sequence-1]; m.Previous != nil && sum != "" && sum != *m.Previous {
			return m.differs("it says that the one before has the check sum %q, which is %q by the audit log", *m.Previous, sum)
		}
		n, ok := noted[m.ID]
		delete(noted, m.ID)
		switch {
		case ok:
			if err := m.compare(&n); err != nil {
				return err
			}
		case i == len(v.manifests)-1:
			v.not("snapshot %s: the audit log does not name it; the daemon notes it before it makes the next", m.ID)
		case forgets && m.Group < v.report.FirstGroup:
			v.not("what the audit log says of snapshot %s: the ledger was built from a log that began later", m.ID)
		default:
			return m.differs("the audit log does not name it")
		}
	}
	return v.missing(noted)
}

// auditForgets reports whether entries of the audit log are in neither the log nor the ledger.
func (v *verification) auditForgets() (bool, error) {
	_, built, err := v.store.Get([]byte("B"))
	return built || v.store.Position().Seq+1 < v.report.FirstGroup, err
}

// missing demands of snapshots that are not there that they are older than those that are: these were moved away. Those
// that were not final may have been removed.
func (v *verification) missing(noted map[string]note) error {
	var first *note
	for _, n := range noted {
		if n.removed && !n.final {
			continue
		}
		if len(v.manifests) > 0 && n.sequence < v.manifests[0].Sequence || first != nil && first.sequence <= n.sequence {
			continue
		}
		there, err := v.arrives(&n)
		if err != nil {
			return err
		}
		if !there {
			first = &n
		}
	}
	if first == nil {
		return nil
	}
	return &Difference{What: fmt.Sprintf(
		"snapshot %s of %s, sequence %d, %d rows, sha256 %s: the audit log says that it was sealed, and it is not there",
		first.id, first.period, first.sequence, first.rows, first.sha256,
	)}
}

// arrives reports whether a snapshot got its name after the directory was listed, or gets it when a daemon starts.
func (v *verification) arrives(n *note) (bool, error) {
	m, err := readManifest(v.o.Snapshots, "."+n.id+".tmp", n.id)
	if errors.Is(err, fs.ErrNotExist) {
		m, err = readManifest(v.o.Snapshots, n.id, n.id)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = m.compare(n)
	}
	if err == nil {
		v.not("files of snapshot %s: it was being sealed", n.id)
	}
	return true, err
}

// compare compares a manifest with what the audit log says.
func (m *manifest) compare(n *note) error {
	for _, f := range [...]struct {
		name       string
		have, want any
	}{
		{"sequence", m.Sequence, n.sequence},
		{"sha256", m.SHA256, n.sha256},
		{"account", textOf(m.Account), n.account},
		{"period", m.Period, n.period},
		{"final", m.Final, n.final},
		{"rows", m.Rows, n.rows},
		{"corrects", textOf(m.Corrects), n.corrects},
	} {
		if f.have != f.want {
			return m.differs("%s is %v by its manifest, %v by the audit log", f.name, f.have, f.want)
		}
	}
	// The daemon notes in its own name what it makes by itself, and what a crash kept from the audit log.
	if n.token != m.MadeBy && n.token != daemonName {
		return m.differs("made_by is %q by its manifest, %q by the audit log", m.MadeBy, n.token)
	}
	if m.AsOf.UnixMilli() > n.atMs {
		return m.differs("as_of is %s by its manifest, and the audit log has had it since %s",
			m.AsOf.Format(time.RFC3339Nano), time.UnixMilli(n.atMs).UTC().Format(time.RFC3339Nano))
	}
	return nil
}
