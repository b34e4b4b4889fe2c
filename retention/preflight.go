package retention

import (
	"fmt"
	"os"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// preflight is what is asked of a Badger directory before Badger may open it for writing. Badger truncates the newest
// value log file and every memtable file at their first bad checksum, silently: one flipped byte would cost every group
// behind it. So they are walked first, and damage to what was acknowledged is refused while everything is still there.
type preflight struct {
	dir   string
	need  uint64 // every sequence up to this was acknowledged
	clean bool   // the directory was closed: nothing may be torn at all
	// seqOf returns the sequence that an entry belongs to, if it has one.
	seqOf func(e *walkEntry) (uint64, bool)

	last      uint64            // newest sequence of the memtables' whole transactions
	reach     map[uint32]uint32 // how far the memtables point into each value log file
	reachLast map[uint32]uint32 // the same of the newest transaction alone: beyond need it may be torn
}

func (p *preflight) run() error {
	if err := p.removeEmpty(); err != nil {
		return err
	}
	if err := checkManifest(p.dir); err != nil {
		return err
	}
	p.reach, p.reachLast = map[uint32]uint32{}, map[uint32]uint32{}
	if err := p.walkMemTables(); err != nil {
		return err
	}
	return p.walkValueLog()
}

// removeEmpty removes files of length 0, which a kill between creating or emptying a file and the next call leaves;
// Badger refuses to open beside one (openMemTables takes z.NewFile for an error).
func (p *preflight) removeEmpty() error {
	for _, ext := range []string{".mem", ".vlog"} {
		files, err := numberedFiles(p.dir, ext)
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.bytes == 0 {
				if err := os.Remove(f.path); err != nil {
					return fmt.Errorf("remove empty %q: %w", f.path, err)
				}
			}
		}
	}
	return nil
}

// walkMemTables refuses a memtable that ends before what was acknowledged.
func (p *preflight) walkMemTables() error {
	files, err := numberedFiles(p.dir, ".mem")
	if err != nil {
		return err
	}
	var torn *numbered
	var tornAt int
	for i := range files {
		before := p.last
		var end walkEnd
		if err := mapFile(files[i].path, func(data []byte) { end = walkTransactions(data, p.transaction) }); err != nil {
			return err
		}
		if torn != nil && p.last > before {
			return disk.Damage(
				torn.path,
				"the entry at byte %d has a bad checksum, and %q goes on behind it",
				tornAt,
				files[i].path,
			)
		}
		if !end.clean && torn == nil {
			torn, tornAt = &files[i], end.offset
		}
	}
	switch {
	case torn != nil && (p.clean || p.last < p.need):
		return disk.Damage(
			torn.path,
			"the entry at byte %d has a bad checksum: %d is the last before it, %d was acknowledged",
			tornAt,
			p.last,
			p.need,
		)
	case p.last > 0 && p.last < p.need:
		return disk.Damage(files[len(files)-1].path, "it ends with %d, but %d was acknowledged", p.last, p.need)
	}
	return nil
}

func (p *preflight) transaction(entries []walkEntry) {
	for file, end := range p.reachLast {
		p.reach[file] = max(p.reach[file], end)
		delete(p.reachLast, file)
	}
	for i := range entries {
		e := &entries[i]
		if e.meta&metaDelete != 0 {
			continue
		}
		if seq, ok := p.seqOf(e); ok {
			p.last = max(p.last, seq)
		}
		if at, ok := e.pointer(); ok {
			p.reachLast[at.file] = max(p.reachLast[at.file], at.offset+at.bytes)
		}
	}
}

// walkValueLog refuses a newest value log file that ends before a value that was acknowledged.
func (p *preflight) walkValueLog() error {
	files, err := numberedFiles(p.dir, ".vlog")
	if err != nil {
		return err
	}
	for file := range p.reach {
		if !slices.ContainsFunc(files, func(f numbered) bool { return f.number == file }) {
			return disk.Damage(p.dir, "its value log file %06d.vlog is missing", file)
		}
	}
	if len(files) == 0 {
		return nil
	}
	newest := files[len(files)-1]
	var end walkEnd
	if err := mapFile(newest.path, func(data []byte) { end = walk(data, func(int, *walkEntry) {}) }); err != nil {
		return err
	}
	reach := p.reach[newest.number]
	if p.last <= p.need { // The newest transaction was acknowledged too.
		reach = max(reach, p.reachLast[newest.number])
	}
	if end.offset < int(reach) || p.clean && !end.clean {
		return disk.Damage(
			newest.path,
			"the entry at byte %d has a bad checksum, what was acknowledged reaches to byte %d",
			end.offset,
			max(int(reach), int(newest.bytes)),
		)
	}
	return nil
}
