package recovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/record"
)

// safely makes a panic an error of its own kind: the input that causes it is reported, and the other tests go on.
func safely(decode func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errPanicked{r}
		}
	}()
	return decode()
}

type errPanicked struct{ with any }

func (e errPanicked) Error() string { return fmt.Sprintf("panic: %v", e.with) }

// sectionJoiner is what recovery reads a checkpoint with, for a ledger with one product, a lot and a pack.
func sectionJoiner(t testing.TB) *Joiner {
	t.Helper()
	c := license.New("default", 168*time.Hour)
	step := func(next *license.Catalogue, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		c = next
	}
	next, _, _, err := c.CreateAccount(license.Actor{}, "acme", license.Enterprise, "")
	step(next, err)
	next, _, _, err = c.CreateProduct(license.Actor{}, license.ProductSpec{Name: "p1", Account: "acme", Zone: "UTC"})
	step(next, err)
	next, _, _, err = c.ApplyCredit(license.Actor{}, "p1", license.Credit{Order: "LOT", Quantity: 10})
	step(next, err)
	kept := commands.New(commands.Options{
		Change: func(counters.Ordinal) (uint64, bool) { return 0, false }, IsHolder: func(uint32) bool { return true },
		Gate: &sync.Mutex{}, NowMs: func() int64 { return 1_800_000_000_000 },
		OldRefreshes: func(_, _ uint64, _ func(commands.Refresh) bool) error { return nil },
	})
	return &Joiner{s: New(nil, claims.New(claims.Options{}), kept), cat: c}
}

// Arbitrary sections are refused, or joined: without a panic, without memory that nothing in them accounts for, and
// twice over with the same result.
func FuzzCheckpointSection(f *testing.F) {
	u32, u64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	meta := u64(u64(u64(u64(nil, 1_800_000_000_000), 9), 3), 4)
	pools := u64(u64(u32([]byte{poolEntry}, 2), 5), 1)
	pools = u64(u64(u32(append(pools, giftsEntry), 1), 3), 0)
	sum := record.BucketTotals{Bucket: record.Bucket{Product: 1, Quarter: 2_000_000, Day: 2500}}
	sum.MessagesUp = 300
	sum.Deny(event.OTA, event.OTAQuotaExceeded, 2)
	totals := appendTotals(nil, &sum)
	commands := append(u64(u64(u32(u32(u64(u64(nil, 1), 1<<31), 1), 7), 3), 1_800_000_000_000),
		byte(event.LicenseExhausted))
	runs := u64(u64(u32(u64(nil, 1), 2), 3), 4)
	for kind, data := range map[uint16][]byte{
		0: nil, sectionMeta: meta, sectionPools: pools, sectionTotals: totals, sectionCommands: commands, sectionRuns: runs,
		99: {1},
	} {
		f.Add(kind, data)
		f.Add(kind, data[:len(data)/2])
		f.Add(kind, append(slices.Clone(data), data...))
		f.Add(kind, append(slices.Clone(data), 0))
	}
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		if kind == sectionShard || kind == sectionProducers || kind == sectionUpgrades {
			return // They have fuzz targets of their own.
		}
		j := sectionJoiner(t)
		once := safely(func() error { return j.section(kind, slices.Clone(data)) })
		if errors.As(once, &errPanicked{}) {
			t.Fatal(once)
		}
		state := joined(t, j)
		twice := j.section(kind, data)
		if (once == nil) != (twice == nil) || joined(t, j) != state {
			t.Fatalf("section %d, joined twice: %v, then %v;\n%s, then\n%s", kind, once, twice, state, joined(t, j))
		}
		if n := len(j.s.Totals.products) + len(commandsOf(t, j.s.Commands)); n > len(data) {
			t.Fatalf("%d entries of %d bytes", n, len(data))
		}
	})
}

// commandsOf returns the commands that are kept, and the runs, as a checkpoint has them.
func commandsOf(t testing.TB, c *commands.Commands) (all []byte) {
	t.Helper()
	err := c.WriteKept(func(data []byte) error {
		all = append(all, data...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.AppendRuns(all)
}

// joined writes down what a joiner has gathered.
func joined(t testing.TB, j *Joiner) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, j.lastMs, j.s.Serial.Load(), j.s.Commands.Last(), commandsOf(t, j.s.Commands))
	j.cat.EachPool(
		func(p *license.Pool) { fmt.Fprintln(&b, "pool", p.ID, p.Drawn, p.Returned) },
		func(product uint32, drawn uint64) { fmt.Fprintln(&b, "gifts", product, drawn) },
	)
	for _, sum := range j.s.Totals.All() {
		fmt.Fprintln(&b, sum)
	}
	return b.String()
}

// A device may be bound after its shard was copied, and its OTA be in the section that is copied later. Replay brings
// both. In a group that is not replayed it is damage.
func TestUpgradeOfADeviceThatWasNotCopied(t *testing.T) {
	j, _ := fullTable(t, 1)
	var section []byte
	var u Upgrades
	u.init()
	u.Put([]byte("k"), &record.Upgrade{Ordinal: 1 << 33, ID: []byte("id"), Size: 5, Month: 82, Allowance: 1}, 7)
	u.sections(func(b []byte) { section = slices.Clone(b) })
	j.loader = nil
	j.begin = 6
	if err := j.section(sectionUpgrades, section); err != nil || len(j.s.Upgrades.pending) > 0 {
		t.Errorf("%v, %d ids", err, len(j.s.Upgrades.pending))
	}
	j.begin = 7
	if err := j.section(sectionUpgrades, section); err == nil {
		t.Error("an OTA of a device that nobody bound was taken")
	}
}

// Arbitrary bytes are refused, or are ids of OTAs that are written and read again.
func FuzzDecodeUpgrades(f *testing.F) {
	var u Upgrades
	u.init()
	u.Put([]byte("k"), &record.Upgrade{Ordinal: 1 << 33, ID: []byte("id"), Size: 5, Month: 82, Allowance: 1}, 7)
	u.Put([]byte("l"), &record.Upgrade{
		Ordinal: 2, ID: []byte("x"), Size: 1 << 40, Packs: []record.PackUnits{{Pool: 3, Units: 4}}, Voided: true,
	}, 8)
	u.sections(func(section []byte) { f.Add(slices.Clone(section)) })
	f.Add([]byte{})
	f.Add([]byte{3, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second Upgrades
		read := func(into *Upgrades, data []byte) error {
			into.init()
			return decodeUpgrades(data, func(seq uint64, u record.Upgrade) error {
				into.Put(fmt.Appendf(nil, "%d %q", u.Ordinal, u.ID), &u, seq)
				return nil
			})
		}
		err := safely(func() error { return read(&first, data) })
		if errors.As(err, &errPanicked{}) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		first.sections(func(section []byte) {
			if err := read(&second, section); err != nil {
				t.Fatal(err)
			}
		})
		if len(first.pending) != len(second.pending) && len(first.pending) > 0 {
			t.Fatalf("%d ids are read again as %d", len(first.pending), len(second.pending))
		}
	})
}

// TestUpgradesAreBounded: no request gets room for more ids than memory keeps, until the ledger has some.
func TestUpgradesAreBounded(t *testing.T) {
	var u Upgrades
	u.init()
	u.order = make([]upgradeKey, upgradesPendingMax-2) // Of group 0.
	if u.Full(2) || !u.Full(3) {
		t.Errorf("with room for two it is full for two: %t, for three: %t", u.Full(2), u.Full(3))
	}
	u.LetGo(0)
	if u.Full(letGoASeal+2) || !u.Full(letGoASeal+3) {
		t.Error("what the ledger has still takes room, or more")
	}
}
