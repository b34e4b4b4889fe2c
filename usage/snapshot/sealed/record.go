package sealed

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/meterd/meterd/license"
)

// AuditFunc calls fn for the entries of the audit log behind change after, oldest first, until fn returns false.
type AuditFunc func(after uint64, fn func(license.AuditEntry) bool) error

// Record is what the audit log says of snapshots: which were sealed, which of them were removed, and what the schedule
// has done. In a cluster it is all that a node knows of snapshots whose files it does not have. The zero Record knows
// nothing. It is safe for concurrent use.
type Record struct {
	reading    sync.Mutex // who follows the audit log; before mu
	mu         sync.Mutex
	seq        uint64 // the last change that was looked at
	beganMs    int64  // when the first change was made, 0: there was none
	said       map[string]*Said
	newest     *Said  // by sequence, also if it was removed
	day, month string // the newest that the schedule has made a snapshot for
}

// Said is what the newest entry of a snapshot says.
type Said struct {
	ID        string
	IsRemoved bool
	note
}

// note is the detail of an entry of the audit log about a snapshot.
type note struct {
	Account  *string `json:"account"`
	Corrects *string `json:"corrects"`
	Final    bool    `json:"final"`
	// ManifestSHA256 is that of the file manifest.json, "" in entries of meterd 0.1.
	ManifestSHA256 string `json:"manifest_sha256,omitempty"`
	Period         string `json:"period"`
	Rows           uint64 `json:"rows"`
	ScheduledDay   string `json:"scheduled_day,omitempty"`
	ScheduledMonth string `json:"scheduled_month,omitempty"`
	Sequence       uint64 `json:"sequence"`
	SHA256         string `json:"sha256"`
}

// noteOf is the detail of a snapshot's entry in the audit log; manifest is its manifest as it lies on disk.
func noteOf(m *Manifest, manifest []byte) note {
	return note{
		Account: m.Account, Corrects: m.Corrects, Final: m.Final, ManifestSHA256: hexSHA256(manifest), Period: m.Period,
		Rows: m.Rows, ScheduledDay: m.ScheduledDay, ScheduledMonth: m.ScheduledMonth, Sequence: m.Sequence, SHA256: m.SHA256,
	}
}

// Follow takes what the audit log has gained. It says for each entry what the log says, whoever wrote it. Others may
// ask the record meanwhile: an owner's audit log takes seconds if the disk does.
func (r *Record) Follow(audit AuditFunc) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	var list []license.AuditEntry
	var last license.AuditEntry
	beganMs := r.sinceMs()
	err := audit(r.at(), func(e license.AuditEntry) bool {
		if beganMs == 0 {
			beganMs = e.AtMs
		}
		if ofSnapshots(e.Action) {
			list = append(list, e)
		}
		last = e
		return true
	})
	if err == nil {
		err = r.takeAll(list, max(last.Seq, r.at()), beganMs)
	}
	if err != nil {
		return fmt.Errorf("look for snapshots in the audit log: %w", err)
	}
	return nil
}

// takeAll takes what was read up to the change seq. After an error all of it is read again.
func (r *Record) takeAll(list []license.AuditEntry, seq uint64, beganMs int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		if err := r.take(&list[i]); err != nil {
			return err
		}
	}
	r.seq, r.beganMs = seq, beganMs
	return nil
}

func ofSnapshots(action string) bool {
	return action == license.ActionSnapshotCreate || action == license.ActionSnapshotRemove
}

// take takes an entry. r.mu is held.
func (r *Record) take(e *license.AuditEntry) error {
	s := &Said{ID: e.Target, IsRemoved: e.Action == license.ActionSnapshotRemove}
	if err := json.Unmarshal(e.Detail, &s.note); err != nil {
		return fmt.Errorf("entry %d, of snapshot %s: %w", e.Seq, e.Target, err)
	}
	if r.said == nil {
		r.said = map[string]*Said{}
	}
	r.said[s.ID] = s
	if r.newest == nil || s.Sequence >= r.newest.Sequence {
		r.newest = s
	}
	r.day, r.month = max(r.day, s.ScheduledDay), max(r.month, s.ScheduledMonth)
	return nil
}

// at returns the last change that was looked at.
func (r *Record) at() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq
}

// end returns the newest sequence that was given, 0 for none, and the check sum of its snapshot.
func (r *Record) end() (sequence uint64, sha256 string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest == nil {
		return 0, ""
	}
	return r.newest.Sequence, r.newest.SHA256
}

// scheduled returns the newest day and month that the schedule has done, "" for none.
func (r *Record) scheduled() (day, month string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.day, r.month
}

// sinceMs returns when the first change was made, 0 if there was none.
func (r *Record) sinceMs() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.beganMs
}

// of returns what is said of an id, nil for nothing.
func (r *Record) of(id string) *Said {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[id]
}

// kept returns the snapshots that were sealed and not removed, newest first.
func (r *Record) kept() (list []*Said) {
	r.mu.Lock()
	for _, s := range r.said {
		if !s.IsRemoved {
			list = append(list, s)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *Said) int { return strings.Compare(b.ID, a.ID) })
	return list
}

// differs returns in what a manifest is not the one that was sealed, "" if it is. raw is it as it lies on disk.
func (s *Said) differs(m *Manifest, raw []byte) string {
	have := noteOf(m, raw)
	switch {
	case m.ID != s.ID:
		return "id"
	case s.ManifestSHA256 != "" && s.ManifestSHA256 != have.ManifestSHA256:
		return "manifest"
	case s.SHA256 != have.SHA256:
		return "sha256"
	case s.Sequence != have.Sequence:
		return "sequence"
	case textOf(s.Account) != textOf(have.Account):
		return "account"
	case s.Period != have.Period || s.Final != have.Final:
		return "period"
	case s.Rows != have.Rows:
		return "rows"
	case textOf(s.Corrects) != textOf(have.Corrects):
		return "corrects"
	}
	return ""
}
