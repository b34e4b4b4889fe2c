package retention

import (
	"errors"
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
)

// recover finds what the log holds. Directories are looked at from the newest to the oldest, since the newer one tells
// up to where the older one must go. The newest is left open for writing.
func (l *Log) recover() error {
	spans, err := listSpans(l.opts.Path)
	if err != nil {
		return err
	}
	l.mark, err = openMark(l.opts.Path, l.opts.Logger)
	switch {
	case errors.Is(err, os.ErrNotExist) && len(spans) == 0:
		if l.mark, err = createMark(l.opts.Path); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist):
		return disk.Damage(markPath(l.opts.Path), "it is missing, so nobody knows how far the log went")
	case err != nil:
		return err
	}
	if len(spans) == 0 {
		if l.mark.seq > 0 {
			return disk.Damage(l.opts.Path, "there is no commit directory, but group %d was acknowledged", l.mark.seq)
		}
		return l.begin()
	}
	l.spans = spans
	if err := l.recoverSpans(); err != nil {
		return err
	}
	return l.takeLast()
}

// begin makes the first directory.
func (l *Log) begin() error {
	s, in, err := l.makeSpan(1)
	if err != nil {
		return err
	}
	l.spans = []*span{s}
	l.writer, l.instance = s, in
	l.pool.writable(s, in)
	return nil
}

// recoverSpans learns what each directory holds and proves that there is no hole between them.
func (l *Log) recoverSpans() error {
	newest := len(l.spans) - 1
	need, tail := l.mark.seq, true // tail: no group was found in a newer directory
	for i := newest; i >= 0; i-- {
		s := l.spans[i]
		was, sealed, err := readBoundsFile(s.path, sealName, sealTitle)
		if err != nil {
			return err
		}
		s.bounds = was
		if sealed && i < newest {
			err = s.checkLast(need, tail)
		} else {
			err = l.recoverSpan(s, sealed, need, tail, i == newest)
		}
		if err != nil {
			return err
		}
		if !s.empty() {
			need, tail = s.first-1, false
		}
	}
	return nil
}

// checkLast compares a directory's end with what the mark or the next directory says.
func (s *span) checkLast(need uint64, tail bool) error {
	if tail && s.last < need && !s.empty() {
		return disk.Damage(s.path, "it ends with group %d, but group %d was acknowledged", s.last, need)
	}
	if !tail && !s.empty() && s.last != need {
		return disk.Damage(s.path, "it ends with group %d, but the next directory begins with group %d", s.last, need+1)
	}
	return nil
}

// recoverSpan opens a directory for writing, which Badger needs after a crash, and reads what it holds. Unless it is
// the newest it is closed again and sealed.
func (l *Log) recoverSpan(s *span, sealed bool, need uint64, tail, newest bool) error {
	was := s.bounds
	pre := preflight{dir: s.path, need: need, clean: sealed, seqOf: groupOf}
	if err := pre.run(); err != nil {
		return err
	}
	if sealed {
		if err := s.unseal(); err != nil {
			return err
		}
	}
	in, err := openInstance(s.path, commitSize(), false, l.newInstanceLog(s.path))
	if err != nil {
		return err
	}
	torn, err := s.readBounds(in)
	if err == nil && tail {
		err = l.dropTorn(s, in, need)
	} else if err == nil && torn != nil {
		err = damaged(s.path, torn.Error())
	}
	if err == nil {
		err = s.checkLast(need, tail)
	}
	if err == nil && sealed && s.last != was.last {
		err = disk.Damage(s.path, "it ends with group %d, but was closed with group %d", s.last, was.last)
	}
	if err == nil {
		err = in.log.err()
	}
	if err == nil {
		s.bytes, err = s.diskBytes()
	}
	if err != nil {
		_ = in.close() // The first error is the one to tell.
		return err
	}
	if newest {
		l.writer, l.instance = s, in
		l.pool.writable(s, in)
		return nil
	}
	if err := in.close(); err != nil {
		return err
	}
	return seal(s.path, s.bounds)
}

func (l *Log) newInstanceLog(path string) *instanceLog {
	return &instanceLog{path: path, reads: true, fatal: l.fail, warn: l.opts.Logger}
}

// groupOf returns the sequence of a commit entry.
func groupOf(e *walkEntry) (uint64, bool) {
	seq, _, ok := parseKey(e.key)
	return seq, ok
}

// readBounds reads the first and the last group of an open directory. A last header that cannot be read is reported as
// torn: whether that is allowed is for dropTorn to say.
func (s *span) readBounds(in *instance) (torn error, err error) {
	s.bounds = bounds{}
	err = in.db.View(func(txn *badger.Txn) error {
		first, ok := edge(txn, false)
		if !ok {
			return nil
		}
		s.first = first
		s.last, _ = edge(txn, true)
		r := groupReader{in: in, txn: txn}
		if torn = r.readHeader(s.last); torn == nil {
			s.lastMs, s.chain = r.head.lastMs, chainOf(r.value)
		}
		if err := r.readHeader(s.first); err == nil {
			s.firstMs = r.head.firstMs
		} else if s.first < s.last {
			return damaged(s.path, err.Error())
		}
		return nil
	})
	return torn, err
}

// edge returns the sequence of the first or the last key.
func edge(txn *badger.Txn, last bool) (uint64, bool) {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: last})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if seq, _, ok := parseKey(it.Item().Key()); ok {
			return seq, true
		}
	}
	return 0, false
}

// dropTorn reads the last group and every other one beyond the mark whole. Only the last one may be torn, and only
// beyond the mark: it was never acknowledged, and it goes. Anything else is damage, since each group was synced before
// the next began.
func (l *Log) dropTorn(s *span, in *instance, need uint64) error {
	if s.empty() {
		return nil
	}
	var torn error
	err := in.db.View(func(txn *badger.Txn) error {
		r := groupReader{in: in, txn: txn}
		for seq := max(s.first, min(need+1, s.last)); seq <= s.last; seq++ {
			err := r.read(seq)
			if err != nil && (seq < s.last || seq <= need) {
				return damaged(s.path, err.Error())
			}
			torn = err
		}
		return nil
	})
	if err != nil || torn == nil {
		return err
	}
	in.log.forget()
	if err := deleteGroup(in, s.last); err != nil {
		return err
	}
	l.opts.Logger.Warn("a torn group beyond the mark was dropped: it was never acknowledged",
		"path", s.path, "group", s.last, "mark", need, "error", torn)
	if torn, err = s.readBounds(in); err == nil && torn != nil {
		err = damaged(s.path, torn.Error())
	}
	return err
}

// deleteGroup removes every part of a group in one transaction.
func deleteGroup(in *instance, seq uint64) error {
	txn := in.begin()
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: appendKey(nil, seq, 0)[:keyBytes-2]})
	var keys [][]byte
	for it.Rewind(); it.Valid(); it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
	}
	it.Close()
	for _, key := range keys {
		if err := txn.Delete(key); err != nil {
			return fmt.Errorf("drop torn group %d: %w", seq, err)
		}
	}
	return in.commit(txn)
}

// takeLast takes over where the newest group ended, or where the log stood when its last group was dropped.
func (l *Log) takeLast() error {
	for i := len(l.spans) - 1; i >= 0; i-- {
		if s := l.spans[i]; !s.empty() {
			l.last, l.lastMs, l.chain = s.last, s.lastMs, s.chain
			return l.takeMark()
		}
	}
	was, _, err := readBoundsFile(l.writer.path, baseName, baseTitle)
	if err != nil {
		return err
	}
	l.last, l.lastMs, l.chain = was.last, was.lastMs, was.chain
	if l.last < l.mark.seq {
		return disk.Damage(l.opts.Path, "it ends with group %d, but group %d was acknowledged", l.last, l.mark.seq)
	}
	return l.takeMark()
}

// takeMark moves a mark that lost its last writes to where the log is known to be whole.
func (l *Log) takeMark() error {
	l.firstMs = l.lastMs // What is decided after a start is decided after all that came before it.
	if l.mark.seq == l.last {
		return nil
	}
	return l.mark.set(l.last)
}
