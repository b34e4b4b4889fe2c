package verify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
)

// noteSnapshot has the daemon of a directory write the audit entry of a snapshot that was sealed.
func noteSnapshot(t *testing.T, path string, m map[string]any) {
	t.Helper()
	noteAction(t, path, actionSealed, m)
}

func noteAction(t *testing.T, path, action string, m map[string]any) {
	t.Helper()
	d := &daemon{t: t, path: path, clock: &handClock{wall: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}}
	d.open()
	detail := map[string]any{}
	for _, name := range []string{"account", "period", "sequence", "rows", "sha256", "final", "corrects"} {
		detail[name] = m[name]
	}
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch := c.Note(by, action, m["id"].(string), detail)
		return next, ch, nil
	})
	d.must(d.engine.DurableInLedger())
	d.must(d.close())
}

// threeSnapshots returns a directory with three snapshots.
func threeSnapshots(t *testing.T) (path, snapshots string) {
	t.Helper()
	path, before := seededDaemon(t), ""
	for i := range uint64(3) {
		before = writeSnapshot(t, path, i+1, before, "p,acc-p,8,2,1,3,1,0,3\nq,acc-q,0,0,0,0,0,0,1\n",
			"p,d0,8,2,1,3,1,0,3\nq,e,0,0,0,0,0,0,1\n")
	}
	return path, filepath.Join(path, "snapshots")
}

// TestSnapshotsVanished: what the audit log names and is not there is found, unless it was moved away from the front.
func TestSnapshotsVanished(t *testing.T) {
	path, dir := threeSnapshots(t)
	if r := clean(t, path); r.Snapshots != 3 || !strings.Contains(strings.Join(r.Not, "\n"), "devices_active") {
		t.Fatalf("%d snapshots; not recounted: %q", r.Snapshots, r.Not)
	}
	move := func(from, to string) { must(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to))) }

	move("s00000003", ".s00000003.tmp") // A crash kept it from its name: the next start gives it.
	if r := clean(t, path); !strings.Contains(strings.Join(r.Not, "\n"), "s00000003: it was being sealed") {
		t.Errorf("not recounted: %q", r.Not)
	}
	move(".s00000003.tmp", "../s3")
	finds(t, path, "s00000003", "2026-11", "the audit log says that it was sealed, and it is not there")
	move("../s3", "s00000003")

	move("s00000002", "../s2")
	finds(t, path, "s00000002", "not there")
	move("s00000001", "../s1")
	if r := clean(t, path); !strings.Contains(strings.Join(r.Not, "\n"), "snapshots of sequences 1 to 2") {
		t.Errorf("not recounted: %q", r.Not)
	}
	move("s00000003", "../s3")
	finds(t, path, "s00000001", "not there")
	must(t, os.Remove(dir))
	finds(t, path, "s00000001", "not there")
}

// TestSnapshotsRemoved: a snapshot that was not final may be removed, which the audit log says. By its entry the chain
// is still proven.
func TestSnapshotsRemoved(t *testing.T) {
	path, dir := threeSnapshots(t)
	manifestOf := func(id string) (m map[string]any) {
		b, err := os.ReadFile(filepath.Join(dir, id, "manifest.json"))
		must(t, err)
		must(t, json.Unmarshal(b, &m))
		return m
	}
	second, third := manifestOf("s00000002"), manifestOf("s00000003")
	noteAction(t, path, actionRemoved, second)
	clean(t, path) // A crash kept it.
	must(t, os.Rename(filepath.Join(dir, "s00000002"), filepath.Join(dir, "../s2")))
	if r := clean(t, path); r.Snapshots != 2 || !strings.Contains(strings.Join(r.Not, "\n"), "sequences 2 to 2") {
		t.Errorf("%d snapshots; not recounted: %q", r.Snapshots, r.Not)
	}
	third["previous_sha256"] = strings.Repeat("1", 64)
	b, err := json.Marshal(third)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "s00000003", "manifest.json"), b, 0o600))
	finds(t, path, "s00000003", "the one before", second["sha256"].(string), "by the audit log")
}

// Only one that was not final may be removed.
func TestFinalSnapshotRemoved(t *testing.T) {
	n := note{id: "s1", sequence: 1, removed: true}
	v := &verification{report: &Report{}, o: Options{Snapshots: os.DirFS(t.TempDir())}}
	if err := v.auditAgainst(map[string]note{"s1": n}, false); err != nil {
		t.Error(err)
	}
	n.final = true
	if err := v.auditAgainst(map[string]note{"s1": n}, false); err == nil || !strings.Contains(err.Error(), "not there") {
		t.Errorf("a final one was removed: %v", err)
	}
}

// TestManifestFields: each member that the audit log, the log or the files have, too, is compared.
func TestManifestFields(t *testing.T) {
	path, dir := threeSnapshots(t)
	at := filepath.Join(dir, "s00000002", "manifest.json")
	good, err := os.ReadFile(at)
	must(t, err)
	for name, c := range map[string]struct {
		value any
		words []string
	}{
		"final":    {true, []string{"final is true", "false by the audit log"}},
		"rows":     {3, []string{"3 rows", "2 in file devices.csv"}},
		"period":   {"2026-10", []string{"2026-10"}},
		"corrects": {"s00000001", []string{`corrects is s00000001`}},
		"made_by":  {"mallory", []string{`made_by is "mallory"`, `"test" by the audit log`}},
		"account":  {"acc-p", []string{"acc-p"}},
		"sha256":   {strings.Repeat("0", 64), []string{"check sum"}},
		"as_of":    {"2026-11-24T09:59:59Z", []string{"as_of is 2026-11-24T09:59:59Z", "2026-11-24T10:00:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			var m map[string]any
			must(t, json.Unmarshal(good, &m))
			m[name] = c.value
			b, err := json.Marshal(m)
			must(t, err)
			must(t, os.WriteFile(at, b, 0o600))
			finds(t, path, append(c.words, "s00000002")...)
		})
	}
	late := strings.Replace(string(good), "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z", 1)
	must(t, os.WriteFile(at, []byte(late), 0o600))
	finds(t, path, "s00000002", "as_of is 2026-11-24T11:00:00Z", "the audit log has had it since 2026-11-24T10:00:00")
	must(t, os.WriteFile(at, good, 0o600))
	clean(t, path)

	sums := filepath.Join(dir, "s00000002", "SHA256SUMS")
	text, err := os.ReadFile(sums)
	must(t, err)
	must(t, os.WriteFile(sums, append(text, '\n'), 0o600))
	finds(t, path, "s00000002", "SHA256SUMS has the check sum")
	must(t, os.Remove(sums))
	finds(t, path, "s00000002", "SHA256SUMS is missing")
}

// TestAuditRows: rows U of the ledger about snapshots are compared with the log.
func TestAuditRows(t *testing.T) {
	path, _ := threeSnapshots(t)
	changed := func(change func(e *ledger.Entry)) {
		t.Helper()
		store, err := ledger.Open(ledger.Options{Path: filepath.Join(path, "ledger")})
		must(t, err)
		var last ledger.Entry
		must(t, store.Scan([]byte("U"), nil, false, func(key, value []byte) (bool, error) {
			last = ledger.Entry{Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)}
			return true, nil
		}))
		change(&last)
		must(t, store.Write([]ledger.Entry{last}, store.Position()))
		must(t, store.Close())
	}
	var row []byte
	changed(func(e *ledger.Entry) {
		row = e.Value
		e.Value = []byte(strings.Replace(string(row), `"rows":2`, `"rows":4`, 1))
	})
	finds(t, path, "audit entry", "s00000003", "rows:4", "rows:2")
	changed(func(e *ledger.Entry) { e.Value = []byte(strings.Replace(string(row), actionSealed, "other", 1)) })
	finds(t, path, "audit entry", "s00000003")
}

// TestSnapshotNotNoted: only the newest snapshot may lack its audit entry.
func TestSnapshotNotNoted(t *testing.T) {
	v := &verification{report: &Report{}, manifests: []*manifest{{ID: "s1", Sequence: 1}, {ID: "s2", Sequence: 2}}}
	v.report.FirstGroup = 1
	two := note{id: "s2", sequence: 2, atMs: time.Now().UnixMilli()}
	if err := v.auditAgainst(map[string]note{"s2": two}, false); err == nil || !strings.Contains(err.Error(), "s1") {
		t.Errorf("the first: %v", err)
	}
	one := note{id: "s1", sequence: 1}
	one.atMs = two.atMs
	if err := v.auditAgainst(map[string]note{"s1": one}, false); err != nil || len(v.report.Not) != 1 {
		t.Errorf("the newest: %v, %q", err, v.report.Not)
	}
	v.report.FirstGroup = 5
	if err := v.auditAgainst(map[string]note{"s2": two}, true); err != nil || len(v.report.Not) != 2 {
		t.Errorf("of before the log: %v, %q", err, v.report.Not)
	}
}

func FuzzAuditRow(f *testing.F) {
	f.Add([]byte(`{"at_ms":1,"token":"t","action":"snapshot.create","target":"s1","detail":{"sequence":1}}`))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _ = decodeRow(b) })
}
