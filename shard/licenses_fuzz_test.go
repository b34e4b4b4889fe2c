package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
	"pgregory.net/rapid"
)

// Licence rows come out of their block as they went in, whatever their serials, times and names.
func TestLicenseBlockRoundTrip(t *testing.T) {
	edges := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 127, 128, 1 << 32, 1 << 63, 1<<64 - 1}), rapid.Uint64())
	rapid.Check(t, func(t *rapid.T) {
		var want []LicenseRow
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			want = append(want, LicenseRow{
				Serial: edges.Draw(
					t,
					"serial",
				),
				Product: 7,
				Device:  rapid.StringMatching(`[A-Za-z0-9._:-]{1,64}`).Draw(t, "device"),
				Pool: uint32(
					edges.Draw(t, "pool"),
				),
				ActivatedS: int64(edges.Draw(t, "activated")),
				Generation: uint32(edges.Draw(t, "generation")),
			})
		}
		block := appendLicenses([]byte("x"), want)
		got, err := licenseRows(block[1:])
		if err != nil || !slices.Equal(got, want) || block[0] != 'x' {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		stopped := 0
		err = decodeLicenses(7, block[1:], func(*LicenseRow) bool { stopped++; return false })
		if err != nil || stopped != min(1, len(want)) {
			t.Fatalf("asked to stop, it read %d rows, %v", stopped, err)
		}
	})
}

func licenseRows(block []byte) (rows []LicenseRow, err error) {
	err = safely(func() error {
		return decodeLicenses(7, block, func(r *LicenseRow) bool { rows = append(rows, *r); return true })
	})
	return rows, err
}

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

// A serial is found in the first block that is not before it.
func TestLicensesKeysSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := rapid.Uint32().Draw(t, "p"), rapid.Uint32().Draw(t, "q")
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		if less := p < q || p == q && a < b; (bytes.Compare(licensesKey(p, a), licensesKey(q, b)) < 0) != less {
			t.Fatalf("%d/%d and %d/%d", p, a, q, b)
		}
	})
}

// Arbitrary bytes are refused, or are rows that lie in them and are read again.
func FuzzDecodeLicenses(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{licenseBlockVersion})
	f.Add([]byte{licenseBlockVersion + 1, 1, 1, 1, 1, 1, 'd'})
	f.Add(appendLicenses(nil, []LicenseRow{
		{Serial: 1, Device: "d1", Pool: 2, ActivatedS: 1_800_000_000, Generation: 1},
		{Serial: 1<<64 - 1, Device: strings.Repeat("d", 64), Pool: 1<<31 - 1, ActivatedS: -1, Generation: 1<<19 - 1},
	}))
	f.Add(append([]byte{licenseBlockVersion, 1, 1, 1, 1, 64}, bytes.Repeat([]byte{'d'}, 63)...))
	f.Add(
		append([]byte{licenseBlockVersion, 1, 1, 1, 1, 255}, bytes.Repeat([]byte{'d'}, 255)...),
	) // a name of the greatest length that a byte can say
	f.Add([]byte{licenseBlockVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1, 'd'})
	f.Fuzz(func(t *testing.T, block []byte) {
		rows, err := licenseRows(block)
		if len(rows) > len(block) {
			t.Fatalf("%d rows in %d bytes", len(rows), len(block))
		}
		if errors.As(err, &errPanicked{}) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		again, err := licenseRows(appendLicenses(nil, rows))
		if err != nil || !slices.Equal(again, rows) {
			t.Fatalf("%+v is read again as %+v, %v", rows, again, err)
		}
	})
}

// sectionJoiner is what recovery reads a checkpoint with, for a ledger with one product, a lot and a pack.
func sectionJoiner(t testing.TB) *joiner {
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
	e := &Engine{gate: newGate(1), producers: claims.New(claims.Options{})}
	e.totals.quarters = map[record.Quarter]*record.Totals{}
	e.commands = e.newCommands()
	return &joiner{e: e, cat: c}
}

// Arbitrary sections are refused, or joined: without a panic, without memory that nothing in them accounts for, and
// twice over with the same result.
func FuzzCheckpointSection(f *testing.F) {
	u32, u64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	meta := u64(u64(u64(u64(nil, 1_800_000_000_000), 9), 3), 4)
	pools := u64(u64(u32([]byte{poolEntry}, 2), 5), 1)
	pools = u64(u64(u32(append(pools, giftsEntry), 1), 3), 0)
	sum := (&record.Totals{MessagesUp: 300, Licenses: 1}).Append(u32(u32(nil, 1), 2_000_000))
	totals := append(binary.LittleEndian.AppendUint16(nil, uint16(len(sum))), sum...)
	commands := append(u64(u64(u32(u32(u64(u64(nil, 1), 1<<31), 1), 7), 3), 1_800_000_000_000),
		byte(event.LicenseExhausted))
	runs := u64(u64(u32(u64(nil, 1), 2), 3), 4)
	for kind, data := range map[uint16][]byte{
		0: nil, sectionMeta: meta, sectionPools: pools, sectionTotals: totals, sectionCommands: commands, sectionRuns: runs, 99: {1},
	} {
		f.Add(kind, data)
		f.Add(kind, data[:len(data)/2])
		f.Add(kind, append(slices.Clone(data), data...))
		f.Add(kind, append(slices.Clone(data), 0))
	}
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		if kind == sectionShard || kind == sectionProducers {
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
		if n := len(j.e.totals.quarters) + len(commandsOf(t, j.e)); n > len(data) {
			t.Fatalf("%d entries of %d bytes", n, len(data))
		}
	})
}

// commandsOf returns the commands that are kept, and the runs, as a checkpoint has them.
func commandsOf(t testing.TB, e *Engine) (all []byte) {
	t.Helper()
	err := e.writeCommands(func(_ uint16, data []byte) error {
		all = append(all, data...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// joined writes down what a joiner has gathered.
func joined(t testing.TB, j *joiner) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, j.lastMs, j.e.serial.Load(), j.e.commands.Last(), commandsOf(t, j.e))
	j.cat.EachPool(
		func(p *license.Pool) { fmt.Fprintln(&b, "pool", p.ID, p.Drawn, p.Returned) },
		func(product uint32, drawn uint64) { fmt.Fprintln(&b, "gifts", product, drawn) },
	)
	quarters := make([]string, 0, len(j.e.totals.quarters))
	for q, sum := range j.e.totals.quarters {
		quarters = append(quarters, fmt.Sprintln(q, *sum))
	}
	slices.Sort(quarters)
	return b.String() + strings.Join(quarters, "")
}

// What does not fit one section is cut between two entries: each section is read alone.
func TestCheckpointOfMoreThanASection(t *testing.T) {
	const many = 100_000
	tests := []struct {
		name string
		fill func(*Engine)
		lost func(*Engine) int
	}{
		{
			"totals",
			func(e *Engine) {
				e.totals.mu.Lock()
				defer e.totals.mu.Unlock()
				for n := uint32(1); n <= many; n++ {
					sum := record.Totals{
						MessagesUp:     1 << 60,
						MessagesDown:   1 << 60,
						MessagesDenied: uint64(n),
						OTAAllowance:   1 << 60,
						Licenses:       1 << 60,
					}
					e.totals.join(record.Quarter{Product: n, Number: 1<<32 - 1}, &sum)
				}
			},
			func(e *Engine) int { return many - len(e.totals.quarters) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			tt.fill(m.Engine)
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			m.crash()
			if n := tt.lost(m.Engine); n != 0 {
				t.Errorf("%d of %d are lost", n, many)
			}
		})
	}
}

// A block is what FORMAT.md draws, byte by byte. A change here is a change of the format.
func TestLicenseBlockIsAsDrawn(t *testing.T) {
	got := appendLicenses(nil, []LicenseRow{
		{Serial: 300, ActivatedS: 100, Pool: 3, Generation: 1, Device: "d1"},
		{Serial: 301, ActivatedS: 99, Pool: 200, Generation: 2, Device: "d22"},
	})
	want := []byte{1, 0xac, 2, 0xc8, 1, 3, 1, 2, 'd', '1', 1, 1, 0xc8, 1, 2, 3, 'd', '2', '2'}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got, want := licensesKey(
		300,
		7,
	), []byte(
		"L\x00\x00\x01\x2c\x00\x00\x00\x00\x00\x00\x00\x07",
	); !bytes.Equal(
		got,
		want,
	) {
		t.Errorf("the key is %x, want %x", got, want)
	}
}
