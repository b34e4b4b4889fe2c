package sealed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
)

// The daily snapshots of a month are drafts of the one that is final: when that is sealed they are kept for a while,
// and removed then. Each is noted in the audit log before, with its check sum, so that the chain of those that are left
// can still be proven, and nobody takes it for lost.

// goneSuffix is what the directory of a snapshot that is being removed ends with; a start removes what is left of it.
const goneSuffix = ".gone"

// outlived returns the oldest daily snapshot that is kept no longer at nowMs: the final one of its month is sealed,
// keep has passed, the place of export has it, and no other snapshot corrects it. It is nil if there is none.
func (s *Store) outlived(keep time.Duration, place string, nowMs int64) *Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	finals, corrected := map[string]bool{}, map[string]bool{}
	for _, m := range s.sealed {
		corrected[textOf(m.Corrects)] = true
		if m.Final && m.Account == nil {
			finals[m.Period] = true
		}
	}
	for _, m := range s.sealed {
		switch {
		case m.ScheduledDay == "", m.Final, !finals[m.Period], corrected[m.ID]:
		case nowMs-int64(m.SealedAt) < keep.Milliseconds():
		case place != "" && s.positions.Exported[place] < m.Sequence:
		default:
			return m
		}
	}
	return nil
}

// take takes a snapshot out of those that are there, and returns the directory that is left of it, "" if it is not
// there any more. What a crash brings back is taken once more. mu is not held.
func (s *Store) take(m *Manifest) (left string, err error) {
	s.files.Lock()
	defer s.files.Unlock()
	if s.Get(m.ID) != m {
		return "", nil
	}
	left = filepath.Join(s.path, "."+m.ID+goneSuffix)
	if err := os.Rename(filepath.Join(s.path, m.ID), left); err != nil {
		return "", fmt.Errorf("take snapshot %s away: %w", m.ID, err)
	}
	s.mu.Lock()
	s.sealed = slices.DeleteFunc(slices.Clone(s.sealed), func(o *Manifest) bool { return o == m })
	s.mu.Unlock()
	if err := disk.SyncDir(s.path); err != nil {
		return "", fmt.Errorf("take snapshot %s away: %w", m.ID, err)
	}
	return left, nil
}

// removeOld removes one snapshot that is kept no longer, and reports whether there was one. While a snapshot is made,
// or those that are there are copied, it removes nothing.
func (m *Maker) removeOld() (removed bool, err error) {
	if m.o.Keep == 0 {
		return false, nil
	}
	old := m.store.outdated(m.o.Record)
	if old == nil {
		old = m.store.outlived(m.o.Keep, m.o.ExportTo, m.o.NowMs())
	}
	if old == nil {
		return false, nil
	}
	select {
	case m.place <- struct{}{}:
	default:
		return false, nil
	}
	if m.holders.Load() > 0 {
		<-m.place
		return false, nil
	}
	left, err := m.takeNoted(old)
	<-m.place
	if err != nil {
		return false, err
	}
	m.stats.removed.Add(1)
	m.o.Logger.Info("a daily snapshot is removed: the final one of its month is there", "snapshot", old.ID,
		"period", old.Period, "sha256", old.SHA256)
	return true, removeLeft(left)
}

// takeNoted notes in the audit log that a snapshot is removed, and takes it away.
func (m *Maker) takeNoted(old *Manifest) (left string, err error) {
	if err := m.completeAudit(); err != nil { // That it was made comes first.
		return "", err
	}
	if said := m.o.Record.of(old.ID); said != nil && said.IsRemoved {
		return m.store.take(old) // Somebody noted it, and could not take it away.
	}
	if err := m.note(m.o.Note, license.ActionSnapshotRemove, old); err != nil {
		return "", fmt.Errorf("note in the audit log that snapshot %s is removed: %w", old.ID, err)
	}
	return m.store.take(old)
}

// removeLeft removes a directory in small pieces, so that no sync of the log waits for it.
func removeLeft(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, disk.RemoveGently(filepath.Join(dir, e.Name())))
	}
	if err = errors.Join(err, os.Remove(dir)); err != nil {
		return fmt.Errorf("remove what is left of snapshot %s: %w",
			strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), "."), goneSuffix), err)
	}
	return nil
}
