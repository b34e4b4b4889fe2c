package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FormatVersion is the version of everything that lies in a data directory, as the FORMAT.md of each room draws it. A
// first start writes it. VersionMin is the oldest one that is read. Directories of others are refused.
const (
	FormatVersion = 4
	VersionMin    = 4
)

// DirOptions says which data directory to open and for whom.
type DirOptions struct {
	Path   string       // made if it is missing
	Region string       // this data centre; fixed at the first start (R7)
	Space  SpaceOptions // when to stop for want of space
	Now    func() time.Time
	// First, when not nil, is called on the first start before the directory counts as one: after a crash it is called
	// again.
	First  func() error
	Logger *slog.Logger // told about ballast and repairs; nil: nobody is
}

func (o *DirOptions) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Space.fill()
}

// Validate reports every fault of the options at once.
func (o *DirOptions) Validate() error {
	var errs []error
	if o.Path == "" {
		errs = append(errs, errors.New("the data directory has no path"))
	}
	if o.Region == "" || strings.ContainsAny(o.Region, "\n\r") {
		errs = append(errs, fmt.Errorf("the region %q is not a name", o.Region))
	}
	errs = append(errs, o.Space.Validate())
	return errors.Join(errs...)
}

// Dir is an open data directory. While it is open no other process has it.
type Dir struct {
	path     string
	lock     *os.File
	inUse    bool // by a daemon: the lock is not held
	identity identity
	guard    *Guard
}

// OpenDir takes the data directory for this process, makes it on the first start, and refuses one that is in use,
// newer, damaged, of another region, or on a disk too full to open. Space is made by giving up the ballast before it is
// refused.
func OpenDir(o DirOptions) (*Dir, error) {
	o.fill()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Path, 0o700); err != nil {
		return nil, fmt.Errorf(
			"make data directory %q: %w; name a place with --data that this user may write to",
			o.Path,
			err,
		)
	}
	if err := SyncDir(filepath.Dir(o.Path)); err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: o.Path, lock: lock}
	if err := d.open(&o); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) open(o *DirOptions) error {
	first, err := d.readVersion()
	if err != nil {
		return err
	}
	guard, err := newGuard(d.path, o.Space, o.Logger)
	if err != nil {
		return err
	}
	d.guard = guard
	if err := guard.makeRoom(); err != nil {
		return err
	}
	if d.identity, err = openIdentity(d.path, o.Region, o.Now(), first); err != nil {
		return err
	}
	for _, sub := range d.rooms() {
		if err := MakeDir(sub); err != nil {
			return err
		}
	}
	if first && o.First != nil {
		if err := o.First(); err != nil {
			return err
		}
	}
	if first {
		// Last of all: VERSION says that the first start came to its end.
		return WriteSynced(d.versionPath(), EncodeSealed(versionTitle, [][2]string{{"version", strconv.Itoa(FormatVersion)}}))
	}
	return nil
}

// lockDir takes DIR/LOCK, which the kernel frees when the process dies, however it dies.
func lockDir(path string) (*os.File, error) {
	name := filepath.Join(path, "LOCK")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w; the data directory must be writable for this user", name, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf(
				"data directory %q is in use by process %s: stop that daemon, or start this one with another --data",
				path,
				strings.TrimSpace(string(holder)),
			)
		}
		return nil, fmt.Errorf("lock %q: %w; the data directory must be on a file system that has flock", name, err)
	}
	// The number helps people only; the lock does not depend on it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

const versionTitle = "data directory"

func (d *Dir) versionPath() string { return filepath.Join(d.path, "VERSION") }

// readVersion reports whether this is the first start in the directory.
func (d *Dir) readVersion() (first bool, err error) {
	fields, err := ReadSealed(d.versionPath(), versionTitle)
	if errors.Is(err, os.ErrNotExist) {
		return true, d.checkVirgin()
	}
	if err != nil {
		return false, err
	}
	version, err := strconv.Atoi(fields["version"])
	if err != nil || version < 1 {
		return false, Damage(d.versionPath(), "version %q is no number", fields["version"])
	}
	return false, checkVersion(d.path, version, VersionMin, FormatVersion)
}

// checkVersion refuses a version that is not within oldest and newest, with what to do.
func checkVersion(path string, version, oldest, newest int) error {
	switch {
	case version < oldest:
		return fmt.Errorf("data directory %q has format version %d, this meterd needs %d: there is no conversion; "+
			"start with an empty --data, or run the older meterd", path, version, oldest)
	case version > newest:
		return fmt.Errorf("data directory %q has format version %d, this meterd knows up to %d: "+
			"start the newer meterd that wrote it", path, version, newest)
	}
	return nil
}

// rooms are the directories of those that keep files here.
func (d *Dir) rooms() []string {
	return []string{
		d.LogPath(), d.ArchivePath(), d.LedgerPath(), d.CheckpointPath(), d.SnapshotsPath(), d.WebhooksPath(),
	}
}

// checkVirgin refuses a directory that has something in it but no VERSION: it is somebody else's, or VERSION was lost.
// What a first start that was cut short may have left is allowed.
func (d *Dir) checkVirgin() error {
	for _, sub := range d.rooms() {
		entries, err := os.ReadDir(sub)
		if err == nil && len(entries) > 0 {
			return Damage(d.versionPath(), "it is missing although %q has content", filepath.Base(sub))
		}
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list %q: %w", d.path, err)
	}
	for _, e := range entries {
		switch strings.TrimSuffix(e.Name(), TmpSuffix) {
		case "LOCK", "VERSION", "IDENTITY", "BALLAST", "DEMO", "lost+found",
			"log", "archive", "ledger", "checkpoint", "snapshots", "webhooks":
		case nodeFile:
			return fmt.Errorf("data directory %q is a node's of a cluster: start it with --cluster", d.path)
		default:
			return fmt.Errorf("%q is not a meterd data directory: it has %q but no VERSION; name an empty directory with --data",
				d.path, e.Name())
		}
	}
	return nil
}

// Empty removes what all rooms keep, and nothing that the first start fixed. The rooms themselves stay: one may be a
// mount, or a symbolic link to another disk. Nobody may have anything of it open.
func (d *Dir) Empty() error {
	for _, room := range append(d.rooms(), d.HistoryPath()) {
		entries, err := os.ReadDir(room)
		if errors.Is(err, os.ErrNotExist) {
			continue // The history is made by whoever keeps it.
		}
		if err != nil {
			return fmt.Errorf("empty data directory %q: %w", d.path, err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(room, e.Name())); err != nil {
				return fmt.Errorf("empty data directory %q: %w", d.path, err)
			}
		}
		if err := SyncDir(room); err != nil {
			return err
		}
	}
	return nil
}

// DemoPath returns where the data directory says that a demo has made it. The demo writes it.
func DemoPath(path string) string { return filepath.Join(path, "DEMO") }

// Path returns the data directory.
func (d *Dir) Path() string { return d.path }

// LogPath returns where the log's segments lie.
func (d *Dir) LogPath() string { return filepath.Join(d.path, "log") }

// ArchivePath returns where the archive of the log's events lies.
func (d *Dir) ArchivePath() string { return filepath.Join(d.path, "archive") }

// LedgerPath returns where the ledger lies.
func (d *Dir) LedgerPath() string { return filepath.Join(d.path, "ledger") }

// CheckpointPath returns where checkpoints lie.
func (d *Dir) CheckpointPath() string { return filepath.Join(d.path, "checkpoint") }

// SnapshotsPath returns where sealed usage snapshots lie.
func (d *Dir) SnapshotsPath() string { return filepath.Join(d.path, "snapshots") }

// HistoryPath returns where the usage history lies. It is made by whoever keeps it.
func (d *Dir) HistoryPath() string { return filepath.Join(d.path, "history") }

// WebhooksPath returns where the queues of webhooks lie.
func (d *Dir) WebhooksPath() string { return filepath.Join(d.path, "webhooks") }

// Region returns the data centre of the first start (R7).
func (d *Dir) Region() string { return d.identity.region }

// HashSeed returns the random key of the device table's hash, fixed at the first start.
func (d *Dir) HashSeed() [16]byte { return d.identity.hashSeed }

// CreatedAt returns when the directory was made.
func (d *Dir) CreatedAt() time.Time { return d.identity.createdAt }

// Guard returns the watch over free space.
func (d *Dir) Guard() *Guard { return d.guard }

// Close releases the directory for the next process. What lies in it must be closed before.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("unlock %q: %w", d.path, err)
	}
	return nil
}
