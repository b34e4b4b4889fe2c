package board

import (
	"testing"
	"time"
)

func newTable(now time.Time) *table { return &table{nodes: map[string]*entry{}, begun: now} }

func owns(node string, epoch uint64, number uint64) Status {
	return Status{Node: node, Boot: node, Told: number, State: Ready, Cells: []CellStatus{
		{Cell: 2, Role: Owner, Stream: Bytes16{1}, Epoch: epoch, Address: node + ":1"},
	}}
}

func TestNewestOfEachNodeCounts(t *testing.T) {
	now := time.Now()
	b := newTable(now)
	if news, boot := b.take(owns("n1", 1, 5), now); !news || !boot {
		t.Fatal(news, boot)
	}
	if news, _ := b.take(owns("n1", 9, 4), now); news || b.nodes["n1"].status.Cells[0].Epoch != 1 {
		t.Fatal("an older message was taken")
	}
	if news, _ := b.take(owns("n1", 1, 6), now); news {
		t.Fatal("nothing happened, and it is news")
	}
	other := owns("n1", 1, 1)
	other.Boot = "later"
	if news, boot := b.take(other, now); !news || !boot {
		t.Fatal("a process that starts anew is none")
	}
	if s := b.list(now.Add(silentAfter)); s[0].State != Ready {
		t.Fatal(s)
	}
	if s := b.list(now.Add(silentAfter + 1)); s[0].State != Silent {
		t.Fatal(s)
	}
	if news, _ := b.take(owns("n1", 1, 7), now.Add(silentAfter+1)); !news {
		t.Fatal("a node that is heard again is no news")
	}
}

func TestOwnerIsOfTheNewestEpoch(t *testing.T) {
	now := time.Now()
	b := newTable(now)
	b.take(owns("n1", 5, 1), now)
	if o := b.owners()[2]; o.node != "n1" || o.address != "n1:1" || o.epoch != 5 {
		t.Fatal(o)
	}
	seen := owns("n3", 6, 1) // A standby that has read a newer epoch: n1 was deposed, whatever it says.
	seen.Cells[0].Role = Standby
	b.take(seen, now)
	if o := b.owners()[2]; o.node != "" {
		t.Fatal(o)
	}
	b.take(owns("n2", 6, 1), now)
	if o := b.owners()[2]; o.node != "n2" {
		t.Fatal(o)
	}
	b.take(owns("n1", 5, 2), now.Add(time.Second))
	if o := b.owners()[2]; o.node != "n2" {
		t.Fatal(o)
	}
	anew := owns("n3", 1, 2) // Of a stream that was begun anew.
	anew.Cells[0].Stream = Bytes16{2}
	b.take(anew, now.Add(time.Second))
	if o := b.owners()[2]; o.node != "n3" || o.epoch != 1 {
		t.Fatal(o)
	}
}

func TestNodesAreBounded(t *testing.T) {
	now := time.Now()
	b := newTable(now)
	for i := range nodesMax + 5 {
		b.take(Status{Node: "n" + string(rune('0'+i)), Boot: "b", Told: 1}, now)
	}
	if len(b.nodes) != nodesMax {
		t.Fatal(len(b.nodes))
	}
}

// Of a clock's samples the fastest counts: late messages make it look slow.
func TestClockIgnoresLateMessages(t *testing.T) {
	var c clock
	if _, ok := c.at(0); ok {
		t.Fatal("a clock that was never heard")
	}
	c.hear(1000_000, 10*time.Second)
	c.hear(1001_000, 41*time.Second) // 30 s late
	if ms, _ := c.at(42 * time.Second); ms != 1032_000 {
		t.Fatal(ms)
	}
	for i := range clockSamples { // It was set back by an hour: known when the samples before are gone.
		c.hear(int64(-2600_000+i*1000), time.Duration(42+i)*time.Second)
	}
	if ms, _ := c.at(42 * time.Second); ms != -2600_000 {
		t.Fatal(ms)
	}
}
