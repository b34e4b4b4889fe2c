package retention

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// span is one commit directory. Its bounds are guarded by Log.mu, its handle by the pool.
type span struct {
	path string
	base uint64 // no group before this one: the directory's name
	bounds

	h    *handle
	gone bool // dropped
}

// bounds are the first and the last group of a directory.
type bounds struct {
	first, last     uint64 // 0 when it is empty
	firstMs, lastMs int64
	chain           chain // of the last group's header
	bytes           int64 // on disk, about
}

func (b *bounds) empty() bool { return b.last == 0 }

// A directory is named by the sequence before which it holds no group, so that names sort as the log goes. The group
// that it begins with may come a little later: the name is given when the directory is opened ahead.
const (
	spanPrefix     = "g"
	spanDigits     = 20
	droppingSuffix = ".dropping"
	sealTitle      = "commit span"
	sealName       = "SPAN"
	baseTitle      = "commit base"
	baseName       = "BASE"
)

func spanPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%0*d", spanPrefix, spanDigits, base))
}

func parseSpanName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, spanPrefix)
	if !ok || len(digits) != spanDigits {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, err == nil
}

// listSpans lists the commit directories, oldest first, and removes what a crash left half dropped or half written.
func listSpans(dir string) ([]*span, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", dir, err)
	}
	var spans []*span
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasSuffix(e.Name(), droppingSuffix) || strings.HasSuffix(e.Name(), disk.TmpSuffix) {
			if err := os.RemoveAll(path); err != nil {
				return nil, fmt.Errorf("remove %q, left by a crash: %w", path, err)
			}
			continue
		}
		if base, ok := parseSpanName(e.Name()); ok && e.IsDir() {
			spans = append(spans, &span{path: path, base: base})
		}
	}
	slices.SortFunc(spans, func(a, b *span) int { return strings.Compare(a.path, b.path) })
	return spans, nil
}

// seal writes what a closed directory holds, so that the next start needs not open it. SPAN is there exactly while the
// directory is closed: it also says that nothing in it may be torn.
func seal(path string, b bounds) error {
	return disk.WriteSynced(filepath.Join(path, sealName), disk.EncodeSealed(sealTitle, b.fields()))
}

func (b *bounds) fields() [][2]string {
	return [][2]string{
		{"first", strconv.FormatUint(b.first, 10)},
		{"last", strconv.FormatUint(b.last, 10)},
		{"first_ms", strconv.FormatInt(b.firstMs, 10)},
		{"last_ms", strconv.FormatInt(b.lastMs, 10)},
		{"chain", hex.EncodeToString(b.chain[:])},
	}
}

// readBoundsFile reads SPAN or BASE; found says whether it is there.
func readBoundsFile(dir, name, title string) (s bounds, found bool, err error) {
	path := filepath.Join(dir, name)
	fields, err := disk.ReadSealed(path, title)
	if errors.Is(err, os.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	var errs [5]error
	s.first, errs[0] = strconv.ParseUint(fields["first"], 10, 64)
	s.last, errs[1] = strconv.ParseUint(fields["last"], 10, 64)
	s.firstMs, errs[2] = strconv.ParseInt(fields["first_ms"], 10, 64)
	s.lastMs, errs[3] = strconv.ParseInt(fields["last_ms"], 10, 64)
	link, err := hex.DecodeString(fields["chain"])
	if err == nil && len(link) != len(s.chain) {
		err = fmt.Errorf("chain %q", fields["chain"])
	}
	copy(s.chain[:], link)
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		return s, false, disk.Damage(path, "%v", err)
	}
	return s, true, nil
}

// unseal is done before a directory is opened for writing.
func (s *span) unseal() error {
	path := filepath.Join(s.path, sealName)
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return disk.SyncDir(s.path)
}

// diskBytes is what the directory takes on disk: value log files are larger than that until they are closed.
func (s *span) diskBytes() (int64, error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return 0, fmt.Errorf("list %q: %w", s.path, err)
	}
	var n int64
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(s.path, e.Name()), &st); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			return 0, fmt.Errorf("measure %q: %w", s.path, err)
		}
		n += st.Blocks * 512
	}
	return n, nil
}
