package webhook

import (
	"path/filepath"
	"testing"

	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// BenchmarkApply is what the view costs once a second while nobody is to be told anything: a transaction, synced, that
// moves the position; with=hook reads the effects of a thousand connects besides.
func BenchmarkApply(b *testing.B) {
	for _, with := range []string{"none", "hook"} {
		b.Run("with="+with, func(b *testing.B) {
			store, err := ledger.Open(ledger.Options{Path: filepath.Join(b.TempDir(), "webhooks")})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			w := newWorld(b)
			w.product("p1", "acme", "UTC")
			if with == "hook" {
				w.hook("h", "", "device.quota_80")
			}
			s := open(b, store, newInbox().receive)
			var builder record.Builder
			for i := range uint64(1000) {
				builder.Session(i, i)
				builder.Grant(record.Grant{Ordinal: i, Serial: i})
			}
			c, err := record.Open(builder.Finish(nil))
			if err != nil {
				b.Fatal(err)
			}
			g := &views.Group{Effects: [][]byte{c.EffectsColumn()}, Catalogue: w.cat}
			b.ReportAllocs()
			for b.Loop() {
				g.Seq++
				if err := s.Apply([]*views.Group{g}, named{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
