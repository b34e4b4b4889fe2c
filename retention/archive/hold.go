package archive

// Hold is the archive as it stood when it was opened, for whoever copies it: the directories that its manifest names
// stay on the disk until it is closed, also those that are merged or over meanwhile. It belongs to one goroutine.
type Hold struct {
	s    *Store
	m    *manifest
	dirs []*openDir
}

// Hold holds what the manifest names now.
func (s *Store) Hold() (*Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	h := &Hold{s: s, m: s.m}
	for i := range s.m.directories {
		d := s.dirs[s.m.directories[i].number]
		d.holders++
		h.dirs = append(h.dirs, d)
	}
	return h, nil
}

// Position returns the last group whose rows are archived.
func (h *Hold) Position() Position { return h.m.position }

// Manifest returns the name and the content of the file that names the directories.
func (h *Hold) Manifest() (name string, data []byte) { return manifestName, h.m.append(nil) }

// Directories returns the names of the directories. Their files never change.
func (h *Hold) Directories() []string {
	names := make([]string, len(h.dirs))
	for i, d := range h.dirs {
		names[i] = d.name()
	}
	return names
}

// Prove proves directory i of Directories, best when it was just read. Damage is told as Options.Damaged is told of it.
func (h *Hold) Prove(i int, rest func(bytes int64) error) error {
	return h.s.proveFiles(&h.m.directories[i], rest)
}

// Close lets go of the directories. Those that no manifest names any more are removed by the next Tidy.
func (h *Hold) Close() {
	for _, d := range h.dirs {
		h.s.letGo(d)
	}
	h.dirs = nil
}

// holdDir has a directory that the manifest names stay on the disk until letGo, nil if there is none.
func (s *Store) holdDir(is func(*openDir) bool) *openDir {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dirs {
		if is(d) {
			d.holders++
			return d
		}
	}
	return nil
}

func (s *Store) letGo(d *openDir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.holders--
}

// isHeld reports whether somebody copies a directory.
func (s *Store) isHeld(d *openDir) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.holders > 0
}
