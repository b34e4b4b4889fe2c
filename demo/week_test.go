package demo

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/license"
)

// TestDeedsCanBeDone: whenever the week begins, and however short it is, its deeds lie within it, in order, and the
// catalogue takes each of them.
func TestDeedsCanBeDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := begin().Add(time.Duration(rapid.Int64Range(0, 366*24*3600).Draw(t, "seconds")) * time.Second)
		week := time.Duration(rapid.Int64Range(60, int64(Week/time.Second)).Draw(t, "length")) * time.Second
		o := Options{Begin: from, End: from.Add(week), Zone: "UTC", Token: "secret"}
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		list := deeds(&o)
		if !slices.IsSortedFunc(list, func(a, b deed) int { return a.at.Compare(b.at) }) {
			t.Fatal("they are not in order")
		}
		c := license.New("default", Week)
		for _, d := range list {
			if d.at.Before(o.Begin) || !d.at.Before(o.End) {
				t.Fatalf("something is done at %v, the week is %v to %v", d.at, o.Begin, o.End)
			}
			if d.rollOut != nil {
				continue
			}
			next, _, err := d.change(c, license.Actor{Token: adminName, AtMs: d.at.UnixMilli()})
			if err != nil || next == nil {
				t.Fatalf("at %v: %v", d.at, err)
			}
			c = next
		}
		if len(c.Products("")) != 5 || c.Token(gatewayToken) == nil || len(c.Accounts()) != 5 {
			t.Fatalf("%d products, %d accounts", len(c.Products("")), len(c.Accounts()))
		}
	})
}

// TestClockMovesForward: both of the clock's times do, by as much, or a leap would be noticed.
func TestClockMovesForward(t *testing.T) {
	c := NewClock(begin())
	for _, ms := range []int64{5, 5, 3, 900_000} {
		before, ran := c.Now()
		c.move(begin().UnixMilli() + ms)
		after, runs := c.Now()
		if after.Before(before) || after.Sub(before) != runs-ran || after.UnixMilli() < begin().UnixMilli()+ms {
			t.Fatalf("from %v, %v to %v, %v", before, ran, after, runs)
		}
	}
}
