package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// Each damaged file is told once, however often and in whatever company it is found; the first ones are shown, and how
// many there are.
func TestEachDamageIsTold(t *testing.T) {
	var told []string
	h := &health{tell: func(err error) { told = append(told, err.Error()) }}
	if h.isDamaged() || len(h.Status()) != 0 {
		t.Fatal(h.Status())
	}
	one, two := disk.Damage("/d/one", "a"), disk.Damage("/d/two", "b")
	h.failed(fmt.Errorf("read: %w", one))
	h.failed(errors.Join(one, fmt.Errorf("prove: %w", two)))
	h.failed(disk.Damage("/d/one", "in another way"))
	h.failed(errors.New("a view cannot go on"))
	h.damaged(errors.New("input/output error"))
	h.damaged(errors.New("no space left on device"))
	h.view(errors.New("not now"))
	if len(told) != 4 || !strings.Contains(told[1], "/d/two") || !h.isDamaged() || len(h.Status()) != 4 {
		t.Fatalf("told %q, shown %q", told, h.Status())
	}
	for i := range 2 * damagesMax {
		h.failed(disk.Damage(fmt.Sprintf("/d/%d", i), "c"))
		if i == 5 && !strings.Contains(strings.Join(h.Status(), "\n"), "10 files and directories, the log names all") {
			t.Errorf("shown %q", h.Status())
		}
	}
	said := h.Status()
	if len(told) != damagesMax || len(said) != damagesShown+1 || !strings.Contains(said[damagesShown], "100 files") {
		t.Errorf("%d are told, shown %q", len(told), said)
	}
}
