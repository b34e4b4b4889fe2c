package verify

import (
	"errors"
	"strings"
	"testing"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
)

// withoutDayEnds is a log whose disk fails before a day ends.
type withoutDayEnds struct{ *commitlog.Log }

func (l withoutDayEnds) Append(g *commitlog.Group) error {
	in, err := newInflater()
	if err != nil {
		return err
	}
	var decoded group
	if decoded.decode(in, g); decoded.err != nil {
		return decoded.err
	}
	for _, c := range decoded.chunks {
		if len(c.effects.dayEnds) > 0 {
			return errors.New("the disk takes no end of a day")
		}
	}
	return l.Log.Append(g)
}

// TestLedgerRowOfOpenDay: another number of a day that is over and has not ended is found.
func TestLedgerRowOfOpenDay(t *testing.T) {
	d := newDaemon(t)
	d.product("p", "UTC", `{"messages_per_day":9}`, 30)
	d.submit(`{"type":"connect","product":"p","device":"d0"}`)
	d.submit(strings.Repeat(`{"type":"up","product":"p","device":"d0","size":10}`+"\n", 7))
	d.must(d.close())
	d.appends = func(l *commitlog.Log) shard.Log { return withoutDayEnds{l} }
	d.open()
	d.clock.pass(24 * time.Hour)
	_, _ = d.engine.CatchUp() // The engine may have found by itself that the day is over.
	<-d.engine.Failed()
	if err := d.engine.Err(); !strings.Contains(err.Error(), "the disk takes no end of a day") {
		t.Fatal(err)
	}
	_ = d.close() // It fails by the log, too.
	clean(t, d.path)
	rewriteLedger(t, d.path, "D\x00\x00\x00\x00\x01", func(_, value []byte) { value[6] ^= 1 })
	finds(t, d.path, "device d0 of product p", "2026-11-23", "7 up")
}
