package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
)

// Options says what to verify.
type Options struct {
	Dir *disk.Dir // opened by disk.ReadDir; a daemon may be writing there
	// Snapshots is the directory of sealed snapshots, which may be missing. Of them Snapshot is looked at, all if it is
	// empty.
	Snapshots fs.FS
	Snapshot  string
	// Scratch is where a copy of the ledger, and of a running daemon's checkpoint, lie meanwhile; empty: the system's
	// place for temporary files.
	Scratch string
	Logger  *slog.Logger
}

// Validate reports every fault of the options at once.
func (o *Options) Validate() error {
	if o.Dir == nil || o.Snapshots == nil {
		return errors.New("verify needs a data directory, and that of its snapshots")
	}
	return nil
}

// Figures are what was looked at.
type Figures struct {
	FirstGroup, LastGroup uint64
	Groups                uint64
	Events                uint64
	Changes               uint64 // of administration
	Products              uint64
	Devices               uint64
	DeviceDays            uint64 // of days that ended within the log
	DayEnds               uint64 // of products
	ClosedWords           uint64
	Licenses              uint64 // consumed
	Ends                  uint64 // of licences
	Upgrades              uint64 // OTAs and voids that counted
	Totals                uint64 // in heads of groups, equal to the recount
	TotalsTaken           uint64 // in heads of groups, that the recount began with
	Words                 uint64 // in the checkpoint, within the recount
	WordsTaken            uint64 // in the checkpoint, of which the log says nothing
	Pools                 uint64 // in the checkpoint
	LedgerRows            uint64
	Snapshots             uint64
	Took                  time.Duration
}

// Report is what a verification found.
type Report struct {
	Figures
	Difference *Difference // the first one, nil if there is none
	// Not says what could not be recounted, and why.
	Not []string
}

// Run verifies. An error says that it could not: something is damaged, missing or in use.
func Run(o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	began := time.Now()
	v := &verification{o: o, report: &Report{}}
	err := v.run()
	err = errors.Join(err, v.close())
	v.report.Took = time.Since(began)
	if v.r != nil {
		v.report.Devices, v.report.Products = uint64(v.r.devices.count), uint64(len(v.r.cat.list()))
	}
	if d := (*Difference)(nil); errors.As(err, &d) {
		v.report.Difference = d
		err = nil
	}
	if err != nil && o.Dir.InUse() {
		err = fmt.Errorf("%w; a daemon has the directory open and may have changed it meanwhile: verify it again, or a copy",
			err)
	}
	return v.report, err
}

// verification is one run.
type verification struct {
	o          Options
	report     *Report
	log        *commitlog.Log
	store      *ledger.Store
	checkpoint *checkpoint
	snapshots  []*sealed   // in the order of their groups
	manifests  []*manifest // of all snapshots that are there, in the order of their sequences
	r          *recount
}

func (v *verification) close() error {
	var errs []error
	if v.log != nil {
		errs = append(errs, v.log.Close())
	}
	if v.store != nil {
		errs = append(errs, v.store.Close())
	}
	if v.checkpoint != nil {
		errs = append(errs, v.checkpoint.r.Close())
	}
	return errors.Join(errs...)
}

func (v *verification) not(format string, a ...any) {
	v.report.Not = append(v.report.Not, fmt.Sprintf(format, a...))
}

func (v *verification) run() error {
	err := v.open()
	if err != nil {
		return err
	}
	if err := v.begin(); err != nil {
		return err
	}
	if v.report.LastGroup < v.report.FirstGroup {
		v.not("the log has no group")
		return v.finish()
	}
	if err := v.oldSnapshots(); err != nil {
		return err
	}
	if err := v.reached(v.report.FirstGroup-1, commitlog.Chain{}); err != nil {
		return err
	}
	err = follow(v.log, v.report.FirstGroup, func(g *group) error {
		if err := v.r.group(g); err != nil {
			return err
		}
		return v.reached(g.seq, g.chain)
	})
	if err != nil {
		return err
	}
	return v.finish()
}

// open opens what is compared, the log last: a daemon that has the directory open writes it first.
func (v *verification) open() error {
	reader, err := v.o.Dir.ReadCheckpoint(v.o.Scratch)
	if err != nil {
		return err
	}
	if reader != nil {
		v.checkpoint = &checkpoint{r: reader, begin: reader.B(), end: reader.E()}
	}
	if v.snapshots, err = v.readSnapshots(); err != nil {
		return err
	}
	o := ledger.Options{Path: v.o.Dir.LedgerPath(), Logger: v.o.Logger}
	if v.store, err = ledger.OpenCopy(o, v.o.Scratch); err != nil {
		return err
	}
	if v.log, err = commitlog.OpenReadOnly(v.o.Dir.LogPath()); err != nil {
		return err
	}
	v.report.FirstGroup = v.log.First()
	v.report.LastGroup, _, _ = v.log.Last()
	if v.o.Dir.InUse() {
		v.not("what the daemon has written since: it has the directory open, and this is as of group %d", v.report.LastGroup)
	}
	return nil
}

// begin makes the state before the log's first group.
func (v *verification) begin() error {
	first, last := v.report.FirstGroup, v.report.LastGroup
	days, err := newDayDecoder()
	if err != nil {
		return err
	}
	position := v.store.Position()
	v.r = &recount{
		cat: newCatalogue(), figures: &v.report.Figures, fromStart: first == 1, overflow: map[overflowKey][]uint64{},
		drawn: map[uint32]*draws{}, whole: map[[2]uint32]bool{}, serials: first == 1,
		ledger: &ledgerRows{rows: v.store, last: position.Seq, days: days, licenses: map[uint32]*licenseBlock{}},
	}
	switch c := v.checkpoint; {
	case position.Seq > last:
		return fmt.Errorf("the ledger in %q reflects group %d, and the log ends with group %d: copy log/ last of a "+
			"running daemon's directory", v.o.Dir.LedgerPath(), position.Seq, last)
	case c == nil && first > 1:
		return fmt.Errorf("the log in %q begins with group %d, and there is no checkpoint", v.o.Dir.LogPath(), first)
	case c == nil:
		v.not("words, pools and totals of a checkpoint: there is none yet")
		return nil
	case c.end > last:
		return fmt.Errorf("the checkpoint reflects groups up to %d, and the log in %q ends with group %d: copy log/ "+
			"last of a running daemon's directory", c.end, v.o.Dir.LogPath(), last)
	case c.begin+1 < first:
		return fmt.Errorf("the checkpoint ends with group %d, and the log in %q begins with group %d", c.begin,
			v.o.Dir.LogPath(), first)
	case first == 1:
		return nil
	}
	return v.beginLate()
}

// beginLate takes from the checkpoint what the log, whose first groups are gone, does not say.
func (v *verification) beginLate() error {
	var err error
	if v.r.firstMs, err = firstMs(v.log); err != nil {
		return err
	}
	if err := v.checkpoint.catalogue(v.r.cat); err != nil {
		return err
	}
	for _, p := range v.r.cat.list() {
		p.mode.isKnown = p.mode.sinceMs < v.r.firstMs
		if p.planKnown = p.plan.sinceMs < v.r.firstMs; !p.planKnown {
			v.not("units of product %s up to its first change of plan in the log: its older plan is not known any more",
				p.name)
		}
	}
	v.r.cat.moved = nil
	v.not(
		"groups before %d (decided before %s): the log has let go of them; words, pools and totals of then are taken as "+
			"the first record after them says",
		v.report.FirstGroup,
		time.UnixMilli(v.r.firstMs).UTC().Format(time.RFC3339),
	)
	return v.checkpoint.bindOld(v.r)
}

// firstMs returns the decided time of the log's first event.
func firstMs(log *commitlog.Log) (ms int64, err error) {
	err = log.Replay(log.First(), func(g *commitlog.Group) error {
		ms = g.FirstMs
		return errStopped
	})
	if errors.Is(err, errStopped) {
		err = nil
	}
	return ms, err
}

// reached compares what is of the group that was just recounted.
func (v *verification) reached(seq uint64, chain commitlog.Chain) error {
	if c := v.checkpoint; c != nil && seq == c.begin {
		if err := c.compare(v.r, atBegin); err != nil {
			return err
		}
	}
	if c := v.checkpoint; c != nil && seq == c.end {
		if err := c.compare(v.r, atEnd); err != nil {
			return err
		}
	}
	if err := v.snapshotsAt(seq); err != nil {
		return err
	}
	position := v.store.Position()
	if position.Seq == 0 || seq != position.Seq {
		return nil
	}
	if chain != (commitlog.Chain{}) && position.Chain != chain {
		return fmt.Errorf("the ledger in %q follows another log: its group %d has another hash", v.o.Dir.LedgerPath(), seq)
	}
	return v.r.ledger.reached(v.r)
}

// snapshotsAt compares the snapshots of the group that was just recounted.
func (v *verification) snapshotsAt(seq uint64) error {
	for len(v.snapshots) > 0 && v.snapshots[0].Group == seq && seq >= v.report.FirstGroup {
		if err := v.r.snapshot(v.snapshots[0]); err != nil {
			return err
		}
		v.looked(v.snapshots[0])
		v.snapshots = v.snapshots[1:]
	}
	return nil
}

// looked notes that a snapshot was compared.
func (v *verification) looked(s *sealed) {
	v.report.Snapshots++
	if s.others > 0 {
		v.not("usage of %d products of other cells in snapshot %s: verify the directories of those", s.others, s.ID)
	}
	if len(s.unknown) > 0 {
		v.not("totals of %d products in snapshot %s, such as %s: what they had used before its period is not known any more",
			len(s.unknown), s.ID, s.unknown[0])
	}
}

// oldSnapshots compares the snapshots that are older than the log with the ledger, as far as that can be.
func (v *verification) oldSnapshots() error {
	var open []string
	for ; len(v.snapshots) > 0 && v.snapshots[0].Group < v.report.FirstGroup; v.snapshots = v.snapshots[1:] {
		s := v.snapshots[0]
		if !s.Final {
			open = append(open, s.ID)
		} else if err := v.r.oldSnapshot(s); err != nil {
			return err
		}
		v.looked(s)
	}
	if len(open) > 0 {
		v.not(
			"totals of snapshots %s: their groups are older than the log and their period ran; their files, chain and sums "+
				"are proved",
			strings.Join(open, ", "),
		)
	}
	return nil
}

// finish says what was not compared.
func (v *verification) finish() error {
	if len(v.snapshots) > 0 {
		return fmt.Errorf("snapshot %s has group %d, and the log ends with group %d: copy log/ last of a running "+
			"daemon's directory", v.snapshots[0].ID, v.snapshots[0].Group, v.report.LastGroup)
	}
	if err := v.r.ledger.early.unsettled(); err != nil {
		return err
	}
	if err := v.audit(); err != nil {
		return err
	}
	if v.report.Snapshots > 0 {
		v.not("of snapshots: usage of a device (its product's sum is), its state, its licence's times and its period; " +
			"devices_active, licences and plan of a product; sealed_at; devices.ndjson but for its check sum and rows, " +
			"devices.parquet but for its check sum")
	}
	last := v.report.LastGroup
	if at := v.store.Position().Seq; at < last {
		v.not("rows of the ledger of groups %d to %d: it had applied groups up to %d", at+1, last, at)
	}
	if begin, found, err := v.store.Get([]byte("B")); err != nil {
		return err
	} else if found && len(begin) == 8 {
		v.not("rows of the ledger before its beginning: it was built from a log that had let go of its first groups")
	}
	return nil
}
