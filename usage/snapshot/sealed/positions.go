package sealed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
)

const positionsName = "POSITIONS"

// positions says how far the snapshots are known elsewhere, by their sequences.
type positions struct {
	Audited  uint64            `json:"audited"`  // the audit log has them up to here
	SHA256   string            `json:"sha256"`   // that of the snapshot Audited, "": not known
	Exported map[string]uint64 `json:"exported"` // by the place that --export-to names
	// Month is what was over when the schedule began here; both are also what that of meterd 0.1 had done, whose entries
	// in the audit log do not say it.
	Day   string `json:"day,omitempty"`
	Month string `json:"month,omitempty"`
}

func (s *Store) readPositions() (positions, error) {
	path := filepath.Join(s.path, positionsName)
	b, err := readBounded(path, positionsBytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		var p positions
		if last := s.newest(); last != nil {
			p.Audited = last.Sequence - 1 // Each is noted before the next one is begun.
		}
		return p, nil
	}
	if err != nil {
		return positions{}, err
	}
	p, err := decodePositions(b)
	if err != nil {
		return positions{}, disk.Damage(path, "%v; remove it: snapshots are then exported once more", err)
	}
	return p, nil
}

func decodePositions(b []byte) (p positions, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("it cannot be read: %w", err)
	}
	return p, nil
}

// move changes the positions and makes them durable, if change, which is called with s.mu held, says that it did.
func (s *Store) move(change func(*positions) bool) error {
	s.files.Lock()
	defer s.files.Unlock()
	s.mu.Lock()
	next := s.positions
	next.Exported = maps.Clone(next.Exported)
	isChanged := change(&next)
	s.mu.Unlock()
	if !isChanged {
		return nil
	}
	b, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode the positions of snapshots: %w", err)
	}
	if err := disk.WriteSynced(filepath.Join(s.path, positionsName), append(b, '\n')); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.positions = next
	return nil
}

// come has places of export that have newer snapshots get one that is about to come late: before it is shown, so that
// neither a crash nor an error leaves it out. Until came no position passes it.
func (s *Store) come(sequence uint64) error {
	s.mu.Lock()
	s.coming = sequence
	s.mu.Unlock()
	return s.move(func(p *positions) (isLate bool) {
		for place, exported := range p.Exported {
			isLate = isLate || exported >= sequence
			p.Exported[place] = min(exported, sequence-1)
		}
		return isLate
	})
}

// came ends what come began.
func (s *Store) came() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming = 0
	s.tell()
}

// passes reports whether what is about to be shown lies behind a position and before a sequence. s.mu is held.
func (s *Store) passes(after, sequence uint64) bool { return s.coming > after && s.coming < sequence }

// Next returns the oldest snapshot that a place does not have, nil if it has all or an older one is about to be shown;
// then changed is closed when there is another one.
func (s *Store) Next(place string) (m *Manifest, pending int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := s.positions.Exported[place]
	for _, sealed := range s.sealed {
		if sealed.Sequence <= after {
			continue
		}
		if m == nil {
			m = sealed
		}
		pending++
	}
	if m != nil && s.passes(after, m.Sequence) {
		m = nil
	}
	return m, pending, s.changed
}

// Exported notes that a place has the snapshots up to a sequence.
func (s *Store) Exported(place string, sequence uint64) error {
	return s.move(func(p *positions) bool {
		after := p.Exported[place]
		if sequence <= after || s.passes(after, sequence) {
			return false
		}
		for _, m := range s.sealed { // One that came late from another node is the next.
			if m.Sequence > after && m.Sequence < sequence {
				return false
			}
		}
		if p.Exported == nil {
			p.Exported = map[string]uint64{}
		}
		p.Exported[place] = sequence
		return true
	})
}

// audited notes that the audit log has the snapshots up to this one. If that cannot be made durable it is with the next
// position, or a restart writes the entry once more.
func (s *Store) audited(m *Manifest) error {
	note := func(p *positions) bool {
		p.Audited, p.SHA256 = m.Sequence, m.SHA256
		return true
	}
	err := s.move(note)
	if err != nil {
		s.files.Lock() // Who writes positions now goes by those before.
		s.mu.Lock()
		note(&s.positions)
		s.mu.Unlock()
		s.files.Unlock()
	}
	return err
}

// reach notes that the audit log has snapshots up to a sequence, which lie elsewhere if they are not here.
func (s *Store) reach(sequence uint64, sha256 string) error {
	return s.move(func(p *positions) bool {
		isNew := sequence > p.Audited
		if isNew {
			p.Audited, p.SHA256 = sequence, sha256
		}
		return isNew
	})
}

// end returns the newest sequence that was ever given, as far as it is known, and its check sum, nil if that is not:
// the snapshot may have been moved away. s.mu is held.
func (s *Store) end() (sequence uint64, sha256 *string) {
	sequence, sha256 = s.positions.Audited, pointTo(s.positions.SHA256)
	if last := s.newest(); last != nil && last.Sequence >= sequence {
		sequence, sha256 = last.Sequence, &last.SHA256
	}
	for _, exported := range s.positions.Exported {
		if exported > sequence {
			sequence, sha256 = exported, nil
		}
	}
	return sequence, sha256
}

// unaudited returns the snapshots that the audit log may lack.
func (s *Store) unaudited() (list []*Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.sealed {
		if m.Sequence > s.positions.Audited {
			list = append(list, m)
		}
	}
	return list
}
