package main

import (
	"testing"
	"time"

	"github.com/meterd/meterd/license"
)

// Whoever has let go of a cell opens its copy anew. Meanwhile requests find their cells and tokens in what the copy had
// last, but nothing of it is taken over for ever: an owner's last changes may never have become durable.
func TestCatalogueOfAClosedCopy(t *testing.T) {
	c := &cellCopy{}
	if c.catalogue() != nil {
		t.Fatal("a copy that was never open has a catalogue")
	}
	had := license.New("here", time.Hour)
	c.last.Store(had)
	c.shut()
	if c.catalogue() != had {
		t.Error("what the copy had last is forgotten")
	}
	if copied, durable := c.durable(); copied != nil || durable != nil {
		t.Error("what a closed copy had last counts as durable")
	}
}
