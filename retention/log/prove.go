package log

import "github.com/meterd/meterd/retention/disk"

// Prove reads every segment up to the group that is its last one then, past the page cache, and proves its header, its
// groups, and that they lead to the next segment. It calls rest with how many bytes it has read, and ends when that
// returns an error, which it returns. Segments that are released meanwhile are left out. Damage is an error that wraps
// disk.ErrDamaged.
func (l *Log) Prove(rest func(bytes int64) error) error {
	number := uint64(0)
	for {
		v := l.holdBehind(number)
		if v == nil {
			return nil
		}
		number = v.number
		err := v.prove(rest)
		l.letGo(v)
		if err != nil {
			return err
		}
	}
}

// holdBehind holds the first segment with a group whose number is greater, nil if there is none.
func (l *Log) holdBehind(number uint64) *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.number > number && !s.isEmpty() { // The header of an empty one is written with its first group.
			return l.hold(s)
		}
	}
	return nil
}

func (v *view) prove(rest func(bytes int64) error) error {
	if err := v.openFile(); err != nil {
		if disk.IsOfMachine(err) {
			return err
		}
		return disk.Damage(v.path, "%v", err)
	}
	forget(v.f)
	defer forget(v.f)
	page, err := readBegun(v.f, v.number)
	if err != nil {
		return err
	}
	if !page.is || page.header != v.header {
		return disk.Damage(v.path, "its header is not the one that was written")
	}
	var b batch
	c := v.cursor()
	for !c.done() {
		at := c.off
		if err := c.read(&b, proveBytes); err != nil {
			return damagedAt(v.path, err)
		}
		if err := rest(c.off - at); err != nil {
			return err
		}
	}
	if c.before != v.chain {
		return disk.Damage(v.path, "group %d is not the one that was written: the hash chain is broken", v.last)
	}
	return nil
}
