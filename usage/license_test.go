package usage

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/views"
	"pgregory.net/rapid"
)

// Licence rows come out of their block as they went in, whatever their serials, times and names.
func TestLicenseBlockRoundTrip(t *testing.T) {
	edges := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 127, 128, 1 << 32, 1 << 63, 1<<64 - 1}), rapid.Uint64())
	rapid.Check(t, func(t *rapid.T) {
		var want []views.License
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			want = append(want, views.License{
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
	})
}

func licenseRows(block []byte) (rows []views.License, err error) {
	err = safely(func() error {
		return decodeLicenses(block, func(r *LicenseRow) error {
			rows = append(rows, views.License{
				Serial: r.Serial, Product: 7, Device: string(r.Device), Pool: r.Pool, ActivatedS: r.ActivatedS,
				Generation: r.Generation,
			})
			return nil
		})
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
		if less := p < q || p == q && a < b; (bytes.Compare(key64(keyLicenses, p, a), key64(keyLicenses, q, b)) < 0) != less {
			t.Fatalf("%d/%d and %d/%d", p, a, q, b)
		}
	})
}

// Arbitrary bytes are refused, or are rows that lie in them and are read again.
func FuzzDecodeLicenses(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{licenseBlockVersion})
	f.Add([]byte{licenseBlockVersion + 1, 1, 1, 1, 1, 1, 'd'})
	f.Add(appendLicenses(nil, []views.License{
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

// A block is what FORMAT.md draws, byte by byte. A change here is a change of the format.
func TestLicenseBlockIsAsDrawn(t *testing.T) {
	got := appendLicenses(nil, []views.License{
		{Serial: 300, ActivatedS: 100, Pool: 3, Generation: 1, Device: "d1"},
		{Serial: 301, ActivatedS: 99, Pool: 200, Generation: 2, Device: "d22"},
	})
	want := []byte{1, 0xac, 2, 0xc8, 1, 3, 1, 2, 'd', '1', 1, 1, 0xc8, 1, 2, 3, 'd', '2', '2'}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	key, drawnKey := key64(keyLicenses, 300, 7), []byte("L\x00\x00\x01\x2c\x00\x00\x00\x00\x00\x00\x00\x07")
	if !bytes.Equal(key, drawnKey) {
		t.Errorf("the key is %x, want %x", key, drawnKey)
	}
}

// Each licence comes once, in the order of serials, although blocks repeat rows of others; an Instant stays as it was.
func TestEachLicenseOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := newMapStore()
		ledgers := New(Options{Store: store})
		serials := slices.Sorted(slices.Values(
			rapid.SliceOfNDistinct(rapid.Uint64Range(1, 200), 0, 30, rapid.ID).Draw(t, "serials"),
		))
		put := func(product uint32, some []uint64) {
			var rows []views.License
			for _, n := range some {
				rows = append(rows, views.License{Serial: n, Device: fmt.Sprint("d", n)})
			}
			key := string(key64(keyLicenses, product, some[len(some)-1]))
			store.rows[key] = ledger.Entry{Key: []byte(key), Value: appendLicenses(nil, rows)}
		}
		for from := 0; from < len(serials); {
			to := rapid.IntRange(from+1, len(serials)).Draw(t, "end of a block")
			put(7, serials[rapid.IntRange(0, from).Draw(t, "begin of a block"):to])
			from = to
		}
		put(8, []uint64{1})
		instant, err := ledgers.Instant()
		if err != nil {
			t.Fatal(err)
		}
		defer instant.Close()
		put(7, []uint64{201})
		var got []uint64
		err = instant.EachLicense(7, func(r *LicenseRow) error {
			if string(r.Device) != fmt.Sprint("d", r.Serial) {
				t.Fatalf("serial %d is of %q", r.Serial, r.Device)
			}
			got = append(got, r.Serial)
			return nil
		})
		if err != nil || !slices.Equal(serials, got) {
			t.Fatalf("got %v, want %v; %v", got, serials, err)
		}
	})
}
