package main

import (
	"crypto/tls"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/meterd/meterd/retention/disk"
)

// ownedBy is a cell that a node owns, or nobody if it is empty.
type ownedBy string

func (o ownedBy) Owner(int) (node, address string, epoch uint64, ok bool) {
	return "n2", string(o), 1, o != ""
}

func (o ownedBy) Changed() <-chan struct{} { return make(chan struct{}) }

// Damaged queues of webhooks may be moved aside only if nobody owns the cell: from an owner that fails now they are
// copied later.
func TestHooksAreLostWithoutOwnerOnly(t *testing.T) {
	dir, err := disk.OpenDir(disk.DirOptions{Path: filepath.Join(t.TempDir(), "00"), Region: "eu"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &cellCopy{dir: dir}
	try := func(t *testing.T, who ownedBy) error {
		_, err := c.reseed(t.Context(), &donor{board: who, peer: func(string) *tls.Config { return nil }}, disk.ErrDamaged)
		return err
	}
	if err := try(t, "127.0.0.1:1"); err == nil || c.more.losesHooks {
		t.Errorf("an owner that does not answer: %v, they are lost: %v", err, c.more.losesHooks)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := try(t, ""); !errors.Is(err, errNobody) || !c.more.losesHooks {
			t.Errorf("nobody: %v, they are lost: %v", err, c.more.losesHooks)
		}
	})
	if err := try(t, "127.0.0.1:1"); err == nil || c.more.losesHooks {
		t.Errorf("an owner is back: %v, they are lost: %v", err, c.more.losesHooks)
	}
}
