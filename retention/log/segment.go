package log

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/meterd/meterd/retention/disk"
)

// segment is a begun segment file. Log.mu guards all fields but those that its header fixed, and building.
type segment struct {
	header
	path  string
	last  uint64 // first-1 while it holds no group
	chain Chain  // of the last group; of a closed segment it is the next one's before
	// Times of its last group; before it has one, of the group before it.
	firstMs, lastMs int64
	end             int64 // behind its last frame; of a closed segment this may be the file's length
	bytes           int64 // of the file
	readers         int   // who read it now: it is neither recycled nor removed
	isNew           bool  // the file was made for it, so that it holds no byte of an older group
	index           *index

	building sync.Mutex // of the index, which is read from the file if nobody has it
}

func (s *segment) isEmpty() bool { return s.last < s.first }

// A segment's name ends with its number, so that names sort as the log goes.
const (
	segmentPrefix = "segment-"
	segmentDigits = 20
)

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%0*d", segmentPrefix, segmentDigits, number))
}

func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok || len(digits) != segmentDigits {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && number > 0
}

// listSegments returns the numbers of the segment files, which have no gap. Unless it only reads, it removes what a
// crash left half removed or half written.
func listSegments(dir string, readOnly bool) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", dir, err)
	}
	var numbers []uint64
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasSuffix(e.Name(), removingSuffix) || strings.HasSuffix(e.Name(), disk.TmpSuffix) {
			if readOnly {
				continue
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, fmt.Errorf("remove %q, left by a crash: %w", path, err)
			}
			continue
		}
		if number, ok := parseSegmentName(e.Name()); ok {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for i, number := range numbers {
		if want := numbers[0] + uint64(i); number != want {
			return nil, disk.Damage(segmentPath(dir, want), "it is missing, and %q is there", segmentPath(dir, number))
		}
	}
	return numbers, nil
}
