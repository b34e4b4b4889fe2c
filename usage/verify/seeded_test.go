package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// seededDaemon returns the directory of a daemon whose history is known: device d0 of p has 7 up and 2 down on
// 2026-11-23, an upgrade of 3 units, and the day after it one message.
func seededDaemon(t *testing.T) string {
	d := newDaemon(t)
	d.product("p", "UTC", `{"messages_per_day":9,"ota_per_month":2}`, 30)
	d.product("q", "UTC", `{}`, 30)
	d.credit("p", "PACK", 50, true)
	for i := range 3 {
		d.submit(fmt.Sprintf(`{"type":"connect","product":"p","device":"d%d"}`, i))
	}
	up := `{"type":"up","product":"p","device":"d0","size":10}` + "\n"
	down := `{"type":"down","product":"p","device":"d0","size":10}` + "\n"
	d.submit(strings.Repeat(up, 7) + strings.Repeat(down, 2) + up) // The last one is denied.
	d.submit(`{"type":"ota","product":"p","device":"d0","size":15728640,"id":"u1"}`)
	d.submit(`{"type":"connect","product":"q","device":"e"}`)
	d.clock.pass(24 * time.Hour)
	d.submit(up)
	d.catchUp()
	d.must(d.engine.DurableInLedger())
	d.must(d.engine.Checkpoint())
	d.must(d.close())
	clean(t, d.path)
	return d.path
}

// finds demands that a verification finds a difference that names all of words.
func finds(t *testing.T, path string, words ...string) {
	t.Helper()
	r, err := runVerify(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Difference == nil {
		t.Fatalf("no difference was found; %q were to be named", words)
	}
	t.Log(r.Difference)
	for _, word := range words {
		if !strings.Contains(r.Difference.Error(), word) {
			t.Errorf("the difference does not name %q: %v", word, r.Difference)
		}
	}
}

// rewriteCheckpoint writes the newest checkpoint again with other sections.
func rewriteCheckpoint(t *testing.T, path string, edit func(kind uint16, data []byte)) {
	t.Helper()
	dir, err := disk.ReadDir(path)
	must(t, err)
	r, err := dir.ReadCheckpoint("")
	must(t, err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	must(t, err)
	w, err := checkpoints.Create(r.B())
	must(t, err)
	must(t, r.Sections(func(kind uint16, data []byte) error {
		data = bytes.Clone(data)
		edit(kind, data)
		return w.Section(kind, data)
	}))
	must(t, w.Commit(r.E()))
	must(t, errors.Join(r.Close(), dir.Close()))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFlippedCountInWords: one unit more, or less, in a word of the checkpoint is found.
func TestFlippedCountInWords(t *testing.T) {
	for name, c := range map[string]struct {
		at    int // word of the slot
		add   uint64
		words []string
	}{
		"up, more":      {0, 1 << upShift, []string{"device d0 of product p", "2026-11-24", "2 up", "1 up"}},
		"up, less":      {0, ^uint64(1<<upShift - 1), []string{"device d0 of product p", "2026-11-24", "0 up", "1 up"}},
		"denied":        {1, 1, []string{"device d0 of product p", "2026-11-23", "2 denied", "1 denied"}},
		"OTA packs":     {2, 1 << otaPacksShift, []string{"device d0 of product p", "2026-11", "2 of packs", "1 of packs"}},
		"licence state": {3, 1 << stateShift, []string{"device d0 of product p", "licence 1 in state 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := seededDaemon(t)
			flipped := 0
			rewriteCheckpoint(t, path, func(kind uint16, data []byte) {
				if kind != sectionShard {
					return
				}
				img, err := decodeImage(data[1:])
				must(t, err)
				must(t, img.each(func(s *slot) error {
					if string(s.name) != "d0" {
						return nil
					}
					for slot := img.slots; len(slot) > 0; slot = slot[imageSlotBytes:] {
						if binary.LittleEndian.Uint64(slot[40:])&(1<<placeBits-1) == s.place {
							word := slot[8*c.at:]
							binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)+c.add)
							flipped++
						}
					}
					return nil
				}))
			})
			if flipped != 1 {
				t.Fatalf("%d words were flipped", flipped)
			}
			finds(t, path, c.words...)
		})
	}
}

// TestFlippedPool: a licence or a unit drawn that nobody has is found.
func TestFlippedPool(t *testing.T) {
	for pool, words := range map[string][]string{
		"lot":  {"lot LOT-1 of product p"},
		"pack": {"pack PACK of product p", "2 drawn", "1 and 0"},
		"gift": {"the gifts of account acc-p"},
	} {
		t.Run(pool, func(t *testing.T) {
			path := seededDaemon(t)
			order := map[string]uint32{"gift": 1, "lot": 2, "pack": 5}[pool] // As they were made; 3 and 4 are q's.
			rewriteCheckpoint(t, path, func(kind uint16, data []byte) {
				for ; kind == sectionPools && len(data) > 0; data = data[21:] {
					if data[0] == 0 && binary.LittleEndian.Uint32(data[1:]) == order {
						data[5]++
					}
				}
			})
			finds(t, path, words...)
		})
	}
}

// rewriteLedger writes one row that exists again.
func rewriteLedger(t *testing.T, path, prefix string, edit func(key, value []byte)) {
	t.Helper()
	s, err := ledger.Open(ledger.Options{Path: filepath.Join(path, "ledger")})
	must(t, err)
	var entries []ledger.Entry
	must(t, s.Scan([]byte(prefix), nil, true, func(key, value []byte) (bool, error) {
		entries = append(entries, ledger.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		return false, nil
	}))
	if len(entries) == 0 {
		t.Fatalf("the ledger has no row %s", prefix)
	}
	edit(entries[0].Key, entries[0].Value)
	must(t, s.Write(entries, s.Position()))
	must(t, s.Close())
}

// TestLedgerRows: another number in a row of any kind is found, and so are rows of nothing.
func TestLedgerRows(t *testing.T) {
	last := func(_, value []byte) { value[len(value)-1] ^= 1 }
	first := func(at int) func(_, value []byte) { return func(_, value []byte) { value[at] ^= 1 } }
	for name, c := range map[string]struct {
		prefix string
		edit   func(key, value []byte)
		words  []string
	}{
		"licence":     {"L\x00\x00\x00\x01", last, []string{"device d2 of product p", "licence 3"}},
		"totals":      {"Q\x00\x00\x00\x01", first(0), []string{"product p", "2026-11-24", "units up 9", "are 8"}},
		"newest":      {"T\x00\x00\x00\x01", first(6), []string{"product p", "2026-11-24", "units up 9", "are 8"}},
		"day began":   {"Y\x00\x00\x00\x01\x01", first(0), []string{"product p", "units up 6", "are 7"}},
		"upgrade":     {"I\x00\x00\x00\x01", last, []string{"device d0 of product p", "upgrade u1", "0 of packs"}},
		"OTA day":     {"O\x00\x00\x00\x01", last, []string{"device d0 of product p", "2026-11-23", "1 denied", "0 denied"}},
		"ended day":   {"D\x01\x00\x00\x00\x01", first(6), []string{"device d0 of product p", "2026-11-23", "7 up"}},
		"too much":    {"Q\x00\x00\x00\x01", func(key, _ []byte) { key[8]++ }, []string{"product p", "quarters of an hour"}},
		"one too few": {"L\x00\x00\x00\x01", func(_, value []byte) { value[1]++ }, []string{"d0 of product p", "licence 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := seededDaemon(t)
			rewriteLedger(t, path, c.prefix, c.edit)
			finds(t, path, c.words...)
		})
	}
}

// rewriteLog writes all groups again, so that every checksum and the chain are right, and begins a ledger anew, which
// would otherwise be of another history.
func rewriteLog(t *testing.T, path string, edit func(g *commitlog.Group)) {
	t.Helper()
	from, err := commitlog.OpenReadOnly(filepath.Join(path, "log"))
	must(t, err)
	again := filepath.Join(path, "again")
	to, err := commitlog.Open(commitlog.Options{Path: again, Retention: time.Hour})
	must(t, err)
	must(t, from.Replay(1, func(g *commitlog.Group) error {
		edit(g)
		return to.Append(g)
	}))
	must(t, errors.Join(from.Close(), to.Close()))
	must(t, errors.Join(os.RemoveAll(filepath.Join(path, "log")), os.RemoveAll(filepath.Join(path, "ledger"))))
	must(t, errors.Join(os.Rename(again, filepath.Join(path, "log")), os.Mkdir(filepath.Join(path, "ledger"), 0o700)))
}

// TestLog: a total in a head, a word of a message, and an event that nobody counted are found, whatever checksums say.
func TestLog(t *testing.T) {
	t.Run("head", func(t *testing.T) {
		path := seededDaemon(t)
		rewriteLog(t, path, func(g *commitlog.Group) {
			h, err := record.DecodeHead(g.Head)
			must(t, err)
			if len(h.Totals) > 0 && h.Totals[0].MessagesUp == 7 {
				h.Totals[0].MessagesUp++
				g.Head = h.Append(nil)
			}
		})
		finds(t, path, "product p", "2026-11-23", "10:00", "units up 8", "recounted are 7", "group")
	})
	message := func(up uint32) func(g *commitlog.Group) {
		done := false
		return func(g *commitlog.Group) {
			h, err := record.DecodeHead(g.Head)
			must(t, err)
			if done || len(h.Totals) == 0 || h.Totals[0].MessagesUp != 8 {
				return
			}
			done = true
			in, err := newInflater()
			must(t, err)
			var decoded group
			decoded.decode(in, g)
			must(t, decoded.err)
			r := decoded.chunks[0].rows[0]
			var b record.Builder
			b.BeginBatch(r.ms, 0)
			b.Message(typeUp, r.ordinal, r.size, dayOf(r.word), up, 0)
			for _, w := range decoded.chunks[0].effects.closed {
				b.Closed(int(w.index), w.ordinal, w.word)
			}
			c, err := record.NewCompressor(1)
			must(t, err)
			g.Chunks = [][]byte{c.Compress(nil, b.Finish(nil))}
		}
	}
	t.Run("word", func(t *testing.T) {
		path := seededDaemon(t)
		rewriteLog(t, path, message(2))
		finds(t, path, "device d0 of product p", "2026-11-24", "2 up", "are 1")
	})
}

// TestObservedMark: a message beyond the plan that is not marked as observed, and a mark that is not beyond it or of a
// product that enforces, are found.
func TestObservedMark(t *testing.T) {
	for name, c := range map[string]struct {
		ups     int // the last one's mark is put on, or taken off
		enforce bool
		words   []string
	}{
		"taken off": {4, false, []string{"device d0 of product p", "4 units were accepted", "the plan allows 3"}},
		"put on":    {3, false, []string{"device d0 of product p", "said to be beyond the plan"}},
		"enforced":  {3, true, []string{"device d0 of product p", "does not allow"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.product("p", "UTC", `{"messages_per_day":3}`, 3)
			d.mode("p", license.ModeObserve)
			if c.enforce {
				d.mode("p", license.ModeEnforce)
			}
			d.submit(`{"type":"connect","product":"p","device":"d0"}`)
			up := `{"type":"up","product":"p","device":"d0","size":10}` + "\n"
			d.submit(strings.Repeat(up, c.ups-1))
			d.submit(up)
			d.must(d.engine.DurableInLedger())
			d.must(d.close())
			clean(t, d.path)
			rewriteLog(t, d.path, func(g *commitlog.Group) {
				in, err := newInflater()
				must(t, err)
				var decoded group
				decoded.decode(in, g)
				must(t, decoded.err)
				if len(decoded.chunks) != 1 || len(decoded.chunks[0].rows) != 1 ||
					upOf(decoded.chunks[0].rows[0].word) != uint64(c.ups) {
					return
				}
				r := decoded.chunks[0].rows[0]
				var b record.Builder
				b.BeginBatch(r.ms, 0)
				b.Message(typeUp, r.ordinal, r.size, dayOf(r.word), uint32(c.ups), 0)
				if r.would == 0 {
					b.Attach(&record.Extras{WouldDeny: codeMessageQuota, DayUsed: uint32(c.ups)})
				}
				compress, err := record.NewCompressor(1)
				must(t, err)
				g.Chunks = [][]byte{compress.Compress(nil, b.Finish(nil))}
			})
			finds(t, d.path, c.words...)
		})
	}
}

// TestObservedTotals: what would have been denied is recounted, units of messages and upgrades, unless the head is of
// the version that did not count it.
func TestObservedTotals(t *testing.T) {
	observing := func(t *testing.T) string {
		t.Helper()
		d := newDaemon(t)
		d.product("p", "UTC", `{"messages_per_day":3,"message_unit_bytes":64,"ota_per_month":1}`, 3)
		d.mode("p", license.ModeObserve)
		d.submit(`{"type":"connect","product":"p","device":"d0"}`)
		for range 2 {
			d.submit(`{"type":"up","product":"p","device":"d0","size":128}` + "\n" +
				`{"type":"ota","product":"p","device":"d0","size":1}`)
		}
		d.must(d.engine.DurableInLedger())
		d.must(d.close())
		clean(t, d.path)
		return d.path
	}
	edit := func(change func(h *record.Head), version byte) func(g *commitlog.Group) {
		return func(g *commitlog.Group) {
			h, err := record.DecodeHead(g.Head)
			must(t, err)
			if len(h.Totals) > 0 && h.Totals[0].WouldDenyWith(event.Up, event.MessageQuotaExceeded) == 2 {
				change(&h)
			}
			if g.Head = h.Append(nil); version != 0 {
				g.Head[0] = version
			}
		}
	}
	t.Run("of messages", func(t *testing.T) {
		path := observing(t)
		rewriteLog(t, path, edit(func(h *record.Head) { h.Totals[0].WouldDeny[0].Count++ }, 0))
		finds(t, path, "product p", "up that would be denied with message_quota_exceeded 3", "recounted are 2")
	})
	t.Run("of upgrades", func(t *testing.T) {
		path := observing(t)
		rewriteLog(t, path, edit(func(h *record.Head) { h.Totals[0].WouldDeny = h.Totals[0].WouldDeny[:1] }, 0))
		finds(t, path, "product p", "ota that would be denied with ota_quota_exceeded 0", "recounted are 1")
	})
	t.Run("head without them", func(t *testing.T) {
		path := observing(t)
		rewriteLog(t, path, edit(func(h *record.Head) { h.Totals[0].WouldDeny = nil }, headVersionMin))
		must(t, os.RemoveAll(filepath.Join(path, "checkpoint")))
		must(t, os.Mkdir(filepath.Join(path, "checkpoint"), 0o700))
		clean(t, path)
	})
}

// TestLackedUnits: an upgrade that is said to have needed other units than it did, or to have been denied although
// packs had enough, is found.
func TestLackedUnits(t *testing.T) {
	for name, c := range map[string]struct {
		says  []byte // units that it needed, and what packs had
		words []string
	}{
		"needed less":  {[]byte{2, 1}, []string{"device d0 of product p", "3 units", "needed 2"}},
		"packs had it": {[]byte{3, 2}, []string{"device d0 of product p", "needed 2 units of packs", "had 2 left"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.product("p", "UTC", `{"ota_per_month":1}`, 3)
			d.credit("p", "PACK", 1, true)
			d.submit(`{"type":"connect","product":"p","device":"d0"}`)
			d.submit(`{"type":"ota","product":"p","device":"d0","size":15728640}`)
			d.must(d.engine.DurableInLedger())
			d.must(d.close())
			clean(t, d.path)
			edited := 0
			rewriteLog(t, d.path, func(g *commitlog.Group) {
				in, err := newInflater()
				must(t, err)
				var decoded group
				decoded.decode(in, g)
				must(t, decoded.err)
				if len(decoded.chunks) != 1 || len(decoded.chunks[0].rows) != 1 || decoded.chunks[0].rows[0].requested == 0 {
					return
				}
				raw := bytes.Replace(decoded.chunks[0].raw, []byte{32, 3, 1}, append([]byte{32}, c.says...), 1)
				compress, err := record.NewCompressor(1)
				must(t, err)
				g.Chunks = [][]byte{compress.Compress(nil, raw)}
				edited++
			})
			if edited != 1 {
				t.Fatalf("%d groups have such an upgrade", edited)
			}
			finds(t, d.path, c.words...)
		})
	}
}

// TestSnapshotFile: a flipped byte, a missing file, rows that do not add up, and a broken chain are found.
func TestSnapshotFile(t *testing.T) {
	path := seededDaemon(t)
	writeSnapshot(t, path, 1, "", "p,acc-p,8,2,1,3,1,0,3\nq,acc-q,0,0,0,0,0,0,1\n",
		"p,d0,8,2,1,3,1,0,1\np,d1,0,0,0,0,0,0,1\np,d2,0,0,0,0,0,0,1\nq,e,0,0,0,0,0,0,1\n")
	if r := clean(t, path); r.Snapshots != 1 {
		t.Fatalf("%d snapshots", r.Snapshots)
	}
	at := func(name string) string { return filepath.Join(path, "snapshots", "s00000001", name) }
	good, err := os.ReadFile(at("devices.csv"))
	must(t, err)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-2]++
	must(t, os.WriteFile(at("devices.csv"), flipped, 0o600))
	finds(t, path, "s00000001", "devices.csv", "check sum")
	must(t, os.Remove(at("devices.csv")))
	finds(t, path, "s00000001", "devices.csv", "missing")

	must(t, os.RemoveAll(filepath.Join(path, "snapshots")))
	writeSnapshot(t, path, 1, "", "p,acc-p,9,2,1,3,1,0,3\nq,acc-q,0,0,0,0,0,0,1\n",
		"p,d0,8,2,1,3,1,0,1\np,d1,0,0,0,0,0,0,1\np,d2,0,0,0,0,0,0,1\nq,e,0,0,0,0,0,0,1\n")
	finds(t, path, "s00000001", "product p", "messages_up is 8", "9 by products.csv")

	must(t, os.RemoveAll(filepath.Join(path, "snapshots")))
	writeSnapshot(t, path, 1, "", "p,acc-p,9,2,1,3,1,0,3\nq,acc-q,0,0,0,0,0,0,1\n",
		"p,d0,9,2,1,3,1,0,3\nq,e,0,0,0,0,0,0,1\n")
	finds(t, path, "s00000001", "product p", "2026-11", "messages_up is 9", "recounted are 8")

	must(t, os.RemoveAll(filepath.Join(path, "snapshots")))
	writeSnapshot(t, path, 1, "", "p,acc-p,8,2,1,3,1,0,3\n", "p,d0,8,2,1,3,1,0,3\n")
	finds(t, path, "s00000001", "no line of product q")

	must(t, os.RemoveAll(filepath.Join(path, "snapshots")))
	writeSnapshot(t, path, 1, "beef", "", "")
	finds(t, path, "s00000001", "the one before", "beef")
}

// TestLedgerWithinAGroup: of a group that takes several transactions the ledger may have blocks of device-days before
// its position moves to it; a block of an earlier group that the log does not say is found.
func TestLedgerWithinAGroup(t *testing.T) {
	path := seededDaemon(t)
	store, err := ledger.Open(ledger.Options{Path: filepath.Join(path, "ledger")})
	must(t, err)
	last := store.Position().Seq
	block := []byte{1, 1, 0, 0, 1, 1, 5, 0, 0} // one device, 5 up
	key := func(group uint64) []byte {
		return binary.BigEndian.AppendUint64(appendOrdinal(dayKey(levelOpen, 1, 2525), 1), group)
	}
	must(t, store.WritePart([]ledger.Entry{{Key: key(last + 1), Value: block}}))
	must(t, store.Close())
	clean(t, path)
	store, err = ledger.Open(ledger.Options{Path: filepath.Join(path, "ledger")})
	must(t, err)
	must(t, store.WritePart([]ledger.Entry{{Key: key(last), Value: block}}))
	must(t, store.Close())
	finds(t, path, "2026-11-30", "5 up")
}

// TestSnapshotsMovedAway: what was moved away is no difference, and said; between neighbours the chain is compared.
func TestSnapshotsMovedAway(t *testing.T) {
	path := seededDaemon(t)
	products := "p,acc-p,8,2,1,3,1,0,3\nq,acc-q,0,0,0,0,0,0,1\n"
	devices := "p,d0,8,2,1,3,1,0,3\nq,e,0,0,0,0,0,0,1\n"
	writeSnapshot(t, path, 8, "beef", products, devices)
	missing := func(want ...string) {
		t.Helper()
		r := clean(t, path)
		var have []string
		for _, line := range r.Not {
			if strings.HasPrefix(line, "snapshots of sequences ") {
				have = append(have, strings.Fields(line)[3]+"-"+strings.Trim(strings.Fields(line)[5], ","))
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("not recounted: %q", r.Not)
		}
	}
	missing("1-7")
	ten := writeSnapshot(t, path, 10, "cafe", products, devices)
	missing("1-7", "9-9")
	writeSnapshot(t, path, 11, "cafe", products, devices)
	finds(t, path, "s00000011", "the one before", "cafe")
	writeSnapshot(t, path, 11, ten, products, devices)
	must(t, os.RemoveAll(filepath.Join(path, "snapshots", "s00000010")))
	finds(t, path, "s00000010", "not there")
	must(t, os.RemoveAll(filepath.Join(path, "snapshots", "s00000008")))
	missing("1-10")
}

// TestSnapshotOfSeveralCells: a snapshot of all accounts that cell 0 has made has products of other cells. They are
// told apart from what nobody has made, and no product of the cell itself may be left out.
func TestSnapshotOfSeveralCells(t *testing.T) {
	path := seededDaemon(t)
	products := "p,acc-p,8,2,1,3,1,0,3\nq,acc-q,0,0,0,0,0,0,1\nr,acc-r,7,0,0,0,0,0,1\n"
	devices := "p,d0,8,2,1,3,1,0,3\nq,e,0,0,0,0,0,0,1\nr,d,7,0,0,0,0,0,1\n"
	writeSnapshot(t, path, 1, "", products, devices)
	finds(t, path, "s00000001", "product r", "no change has made")

	d := &daemon{t: t, path: path, clock: &handClock{wall: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}}
	d.open()
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.ReserveName(by, license.NameProduct, "r", 1)
		return next, ch, err
	})
	d.must(d.close())
	must(t, os.RemoveAll(filepath.Join(path, "snapshots")))
	writeSnapshot(t, path, 1, "", products, devices)
	if r := clean(
		t,
		path,
	); !strings.Contains(
		strings.Join(r.Not, "\n"),
		"1 products of other cells in snapshot s00000001",
	) {
		t.Errorf("not recounted: %q", r.Not)
	}
}

// writeSnapshot writes a snapshot of the log's last group with a few of the columns, and its audit entry. It returns
// its check sum.
func writeSnapshot(t *testing.T, path string, sequence uint64, previous, products, devices string) string {
	t.Helper()
	log, err := commitlog.OpenReadOnly(filepath.Join(path, "log"))
	must(t, err)
	last, _, _ := log.Last()
	must(t, log.Close())
	m := map[string]any{
		"id": fmt.Sprintf("s%08d", sequence), "sequence": sequence, "account": nil, "group": last, "period": "2026-11",
		"final": false, "previous_sha256": nil, "corrects": nil, "made_by": "test", "as_of": "2026-11-24T10:00:00Z",
		"rows": strings.Count(devices, "\n"),
	}
	if previous != "" {
		m["previous_sha256"] = previous
	}
	dir := filepath.Join(path, "snapshots", fmt.Sprintf("s%08d", sequence))
	must(t, os.MkdirAll(dir, 0o700))
	usage := strings.Join(usageColumns[:], ",") + "\n"
	var files []map[string]any
	var sums string
	for _, f := range [][2]string{
		{"devices.csv", "product,device," + usage + devices}, {"products.csv", "product,account," + usage + products},
	} {
		must(t, os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o600))
		sum := hexSum([]byte(f[1]))
		sums += sum + "  " + f[0] + "\n"
		files = append(files, map[string]any{
			"name": f[0], "bytes": len(f[1]), "rows": strings.Count(f[1], "\n") - 1, "sha256": sum,
		})
	}
	must(t, os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o600))
	m["files"], m["sha256"] = files, hexSum([]byte(sums))
	noteSnapshot(t, path, m)
	b, err := json.Marshal(m)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o600))
	return hexSum([]byte(sums))
}
