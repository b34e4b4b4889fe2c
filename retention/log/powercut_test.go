package log

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/bench/powercut"
	"github.com/meterd/meterd/retention/disk"
)

func TestMain(m *testing.M) {
	if powercut.IsServer() {
		os.Exit(powercut.Main())
	}
	os.Exit(m.Run())
}

// cutWork is what is done while the power goes: a log is opened, appended to, released and erased from, so that
// segments are prepared, begun, recycled, removed, and ended by their age or because something is erased.
type cutWork struct {
	groups       []*Group // that were handed to Append
	acknowledged int      // of them; what a start found counts, since it is served
	log          *Log
}

func cutOptions(path string) Options {
	return Options{Path: path, SegmentBytes: testSegmentBytes, Retention: 4 * time.Second}
}

// open opens the log and compares it: what was acknowledged is there, and at most the one group that was not answered
// beside it.
func (c *cutWork) open(path string) error {
	l, err := Open(cutOptions(path))
	if err != nil {
		return err
	}
	c.log = l
	last, _, chain := l.Last()
	if int(last) < c.acknowledged || int(last) > len(c.groups) {
		return fmt.Errorf("%w: the log ends with group %d; %d were acknowledged, %d were written",
			errLost, last, c.acknowledged, len(c.groups))
	}
	if int(last) > c.acknowledged {
		c.groups[last-1].Chain = chain // Append did not come to set it.
	}
	c.acknowledged, c.groups = int(last), c.groups[:last]
	return nil
}

var errLost = errors.New("acknowledged groups are lost")

// do opens the log and works until the end, or until something fails.
func (c *cutWork) do(path string, dice *rand.Rand, steps int) error {
	if err := c.open(path); err != nil {
		return err
	}
	erasing := uint64(0)
	for step := range steps {
		seq := uint64(c.acknowledged + 1)
		g := testGroup(seq, int64(seq)*1000, 1+dice.IntN(24<<10), 1+dice.IntN(200))
		c.groups = append(c.groups, g)
		if err := c.log.Append(g); err != nil {
			return err
		}
		c.acknowledged++
		c.log.wg.Wait()    // What is prepared in the background comes at the same change each time.
		if step%16 == 13 { // Files are used again in between.
			through, err := c.log.Erase()
			if err != nil {
				return err
			}
			c.log.wg.Wait()
			erasing = through
		}
		if step%4 == 3 {
			if err := c.log.Release(g.LastMs, seq); err != nil {
				return err
			}
			c.log.Erased(erasing)
		}
	}
	return c.log.Close()
}

// end closes what is left of a log whose disk is gone.
func (c *cutWork) end() {
	if c.log != nil {
		_ = c.log.Close() // The disk is gone.
	}
}

// check opens what is left, where no power goes, reads all of it, and goes on with it.
func (c *cutWork) check(path string) error {
	mark, err := markOf(path)
	if err != nil {
		return err
	}
	if err := c.open(path); err != nil {
		return err
	}
	defer c.end()
	if mark > uint64(c.acknowledged) {
		return fmt.Errorf("the mark is at group %d, the log at group %d", mark, c.acknowledged)
	}
	err = c.log.Replay(c.log.First(), func(g *Group) error { return sameGroup(g, c.groups[g.Seq-1]) })
	if err != nil {
		return err
	}
	return c.log.Append(testGroup(uint64(c.acknowledged+1), int64(c.acknowledged+1)*1000, 100))
}

// markOf reads how far the mark says that the log went, 0 without one.
func markOf(path string) (seq uint64, err error) {
	b, err := os.ReadFile(markPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for at := 0; at < len(b); at += markStride {
		if n, err := decodeMark(b[at:]); err == nil {
			seq = max(seq, n)
		}
	}
	return seq, err
}

// cutRun cuts the work at one change, a recovery at another one, and checks.
type cutRun struct {
	t       *testing.T
	base    *cutWork // what lies in basePath, which is copied for each run
	from    string
	options powercut.Options
	dice    *rand.Rand
	lost    int
}

const cutSteps = 14

// cut runs once and returns the change at which the power went, "" when the work came to its end before, and what check
// says.
func (r *cutRun) cut(at uint64, seed uint64) (string, error) {
	lower := r.t.TempDir()
	if err := os.CopyFS(lower, os.DirFS(r.from)); err != nil {
		r.t.Fatal(err)
	}
	c := &cutWork{groups: r.base.groups, acknowledged: r.base.acknowledged}
	path := filepath.Join(lower, "log")
	o := r.options
	o.CutAt, o.CutSeed = at, seed
	when, err := r.mounted(lower, o, func(mounted string) error { return c.do(mounted, newCutDice(0), cutSteps) })
	c.end()
	if when == "" {
		return "", err
	}
	acknowledged := c.acknowledged - r.base.acknowledged
	if seed != 0 {
		o := powercut.Options{NoFallocate: o.NoFallocate, CutAt: 1 + r.dice.Uint64N(12), CutSeed: r.dice.Uint64()}
		again, err := r.mounted(lower, o, func(mounted string) error { return c.do(mounted, newCutDice(1), 2) })
		c.end()
		if again == "" && err != nil || errors.Is(err, errLost) || errors.Is(err, disk.ErrDamaged) {
			return when, fmt.Errorf("recovery, cut at %q: %w", again, err)
		}
	}
	err = c.check(path)
	if errors.Is(err, errLost) {
		r.lost += acknowledged
	}
	return when, err
}

// newCutDice gives each run the same groups, so that its changes are the same ones.
func newCutDice(part uint64) *rand.Rand { return rand.New(rand.NewPCG(7, part)) }

// mounted runs fn on a disk that cuts itself, and returns where it did.
func (r *cutRun) mounted(lower string, o powercut.Options, fn func(path string) error) (string, error) {
	f := powercut.MountT(r.t, lower, o)
	err := fn(filepath.Join(f.Mountpoint(), "log"))
	if cerr := f.Cut(); cerr != nil {
		r.t.Fatal(cerr)
	}
	return f.CutAt(), err
}

// newCutRun makes what the runs begin with: nothing, or a log that has some segments.
func newCutRun(t *testing.T, seed uint64, steps int, o powercut.Options) *cutRun {
	t.Helper()
	if err := powercut.Available(); err != nil {
		t.Skip(err)
	}
	r := &cutRun{t: t, base: &cutWork{}, from: t.TempDir(), options: o, dice: rand.New(rand.NewPCG(seed, 1))}
	if steps > 0 {
		if err := r.base.do(filepath.Join(r.from, "log"), newCutDice(2), steps); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// cutKinds are the steps of a segment's life at which the power must have gone, as the disk names them.
var cutKinds = map[string]*regexp.Regexp{
	"mark made":         regexp.MustCompile(`^rename to MARK in log$`),
	"prepared":          regexp.MustCompile(`^creation log/segment-`),
	"allocated":         regexp.MustCompile(`^fallocate log/segment-`),
	"written":           regexp.MustCompile(`^write log/segment-`),
	"synced":            regexp.MustCompile(`^sync log/segment-`),
	"named":             regexp.MustCompile(`^sync of directory log$`),
	"marked":            regexp.MustCompile(`^write log/MARK$`),
	"recycled":          regexp.MustCompile(`^rename to segment-[0-9]+ in log$`),
	"taken out":         regexp.MustCompile(`^rename to segment-[0-9]+\.removing in log$`),
	"removed":           regexp.MustCompile(`^removal of segment-[0-9]+\.removing in log$`),
	"shortened by age":  regexp.MustCompile(`^change of attributes log/segment-[0-9]+$`),
	"shortened to none": regexp.MustCompile(`^change of attributes log/segment-[0-9]+\.removing$`),
}

// TestPowerCutAtEachChange cuts the power at every single change that a log asks its disk for, from its first start and
// from one with segments to recycle, with and without fallocate. Each cut leaves a subset of the unsynced pages, and
// the recovery after it is cut too. What was acknowledged is there each time, and the mark is never ahead.
func TestPowerCutAtEachChange(t *testing.T) {
	step := uint64(1)
	if testing.Short() {
		step = 9
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, o := range map[string]powercut.Options{"fallocate": {}, "no fallocate": {NoFallocate: true}} {
		for _, before := range []int{0, 16} {
			t.Run(fmt.Sprintf("%s after %d groups", name, before), func(t *testing.T) {
				t.Parallel()
				r := newCutRun(t, seed, before, o)
				seen, cuts := map[string]int{}, 0
				for at := 1 + r.dice.Uint64N(step); ; at += step {
					cutSeed := r.dice.Uint64() | 1
					when, err := r.cut(at, cutSeed)
					if err != nil {
						t.Fatalf("cut %d with seed %d, at %q: %v", at, cutSeed, when, err)
					}
					if when == "" {
						break
					}
					cuts++
					for kind, pattern := range cutKinds {
						if pattern.MatchString(when) {
							seen[kind]++
						}
					}
				}
				t.Logf("%d cuts: %v", cuts, seen)
				for kind := range cutKinds {
					// A log that goes on has files to recycle, and makes none.
					expected := step == 1 && (before == 0 || kind == "recycled") && (kind != "allocated" || !o.NoFallocate)
					if expected && seen[kind] == 0 {
						t.Errorf("the power never went when a file was %s", kind)
					}
				}
			})
		}
	}
}

// TestPowerCutWithoutSyncs is the counter-proof: on a disk that answers syncs and keeps nothing, the same cuts lose
// what was acknowledged.
func TestPowerCutWithoutSyncs(t *testing.T) {
	t.Parallel()
	r := newCutRun(t, 1, 16, powercut.Options{IgnoreSync: true})
	for at := uint64(20); ; at += 20 {
		when, err := r.cut(at, 0)
		if when == "" {
			break
		}
		if !errors.Is(err, errLost) {
			t.Errorf("cut at %q: %v, but nothing was kept since the disk was mounted", when, err)
		}
	}
	if r.lost == 0 {
		t.Error("nothing was acknowledged, so nothing was proved")
	}
	t.Logf("%d acknowledged groups lost, as must be", r.lost)
}

// TestFailedSyncOnADiskThatLosesItsCache: a sync fails, the log ends, and is opened again by a process that still sees
// in the page cache what the disk may not have. Then the disk loses its cache. What the second process found, and may
// have answered by, is there.
func TestFailedSyncOnADiskThatLosesItsCache(t *testing.T) {
	found := 0
	for seed := range uint64(12) {
		r := newCutRun(t, seed, 0, powercut.Options{})
		f := powercut.MountT(t, r.from, powercut.Options{})
		mounted, c := filepath.Join(f.Mountpoint(), "log"), r.base
		if err := c.do(mounted, newCutDice(seed), 3); err != nil {
			t.Fatal(err)
		}
		if err := c.open(mounted); err != nil {
			t.Fatal(err)
		}
		if err := f.FailSync("log/segment-", seed); err != nil {
			t.Fatal(err)
		}
		g := testGroup(4, 4000, 9000)
		c.groups = append(c.groups, g)
		if err := c.log.Append(g); !errors.Is(err, unix.EIO) {
			t.Fatalf("the append was answered with %v", err)
		}
		file := c.log.writer.segment.path
		if err := c.log.Close(); err == nil {
			t.Error("closing said nothing of the failure")
		}
		cached, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		durable, err := os.ReadFile(filepath.Join(r.from, "log", filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		if shown := bytes.Contains(cached, g.Chunks[0]); !shown || seed == 0 && bytes.Contains(durable, g.Chunks[0]) {
			t.Fatalf("the page cache shows the group: %v; so nothing is proved", shown)
		}
		if err := c.open(mounted); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		found += c.acknowledged - 3
		if err := f.Cut(); err != nil {
			t.Fatal(err)
		}
		c.end()
		if err := c.check(filepath.Join(r.from, "log")); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if found == 0 || found == 12 {
		t.Errorf("of 12 groups whose sync failed %d were found: the seeds show one case only", found)
	}
}
