package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/retention/disk"
)

// reseeds has a member's copy made anew from another one's directory, and counts how often.
func reseeds(t *testing.T, from **member1) (causes chan error, with func(*member1, *Options)) {
	t.Helper()
	causes = make(chan error, 100)
	return causes, func(m *member1, o *Options) {
		o.Reseed = func(_ context.Context, cause error) (string, error) {
			causes <- cause
			m.cell.dir = filepath.Join(t.TempDir(), "log")
			return fmt.Sprintf("copy-%d", len(causes)), os.CopyFS(m.cell.dir, os.DirFS((*from).cell.dir))
		}
	}
}

// pair returns an owner with a few groups and a standby that has them.
func pair(t *testing.T, s *embedded.Server, made jetlog.Made) (owner, standby *member1, causes chan error) {
	t.Helper()
	owner = join(t, s, made, "n1")
	await(t, "the owner", owner.host.Owner)
	for range 4 {
		if err := owner.cell.append(); err != nil {
			t.Fatal(err)
		}
	}
	causes, with := reseeds(t, &owner)
	standby = joinWith(t, s, made, "n2", with)
	await(t, "the standby", func() bool { return owner.host.canOwn("n2") == nil })
	return owner, standby, causes
}

// A standby in which something goes bad is made anew, once: if it goes bad again that is told, it is nobody that a cell
// is handed to, and it follows all the same.
func TestStandbyGoesBad(t *testing.T) {
	s, made := newServer(t)
	owner, standby, causes := pair(t, s, made)
	standby.cell.faults <- disk.Damage("run-7", "a block has a bad checksum")
	await(t, "it is made anew", func() bool {
		told := standby.host.Status()
		return told.Copy == "copy-1" && told.Role == board.Standby && told.Why == "" && owner.host.canOwn("n2") == nil
	})
	if cause := <-causes; !errors.Is(cause, disk.ErrDamaged) {
		t.Errorf("it was made anew for %v", cause)
	}
	standby.cell.faults <- disk.Damage("run-8", "a block has a bad checksum")
	await(t, "that is told", func() bool {
		told := standby.host.Status()
		return told.Role == board.Standby && strings.Contains(told.Why, "run-8") && !told.Fit
	})
	if err := owner.cell.append(); err != nil {
		t.Fatal(err)
	}
	await(t, "it follows", func() bool { return standby.host.Status().Group == 5 })
	await(t, "nothing is handed to it", func() bool { return owner.host.canOwn("n2") != nil })
	if len(causes) != 0 {
		t.Errorf("it was made anew again, for %v", <-causes)
	}
	if n := strings.Count(standby.said.String(), "as soon as that can be"); n != 2 {
		t.Errorf("it is said %d times:\n%s", n, standby.said)
	}
}

// What has failed in a standby without damage is opened again.
func TestStandbyFails(t *testing.T) {
	s, made := newServer(t)
	owner, standby, causes := pair(t, s, made)
	standby.cell.faults <- errors.New("no space left on device")
	await(t, "it is opened again", func() bool {
		_, dropped, _ := standby.cell.did()
		return dropped == 1 && standby.host.Status().Why == "" && owner.host.canOwn("n2") == nil
	})
	if len(causes) != 0 {
		t.Errorf("it was made anew for %v", <-causes)
	}
}

// An owner in which something goes bad hands the cell over and is made anew. So does the next one; but then the cell
// stays where it is for a while, whatever is found.
func TestOwnerGoesBad(t *testing.T) {
	s, made := newServer(t)
	var first, second *member1
	causes, with := reseeds(t, &second)
	first = joinWith(t, s, made, "n1", with)
	await(t, "the owner", first.host.Owner)
	first.cell.faults <- disk.Damage("run-7", "a block has a bad checksum")
	await(t, "it is told", func() bool { return strings.Contains(first.host.Status().Why, "run-7") })
	if err := first.cell.append(); err != nil { // There is nobody: it goes on.
		t.Fatal(err)
	}
	causes2, with2 := reseeds(t, &first)
	second = joinWith(t, s, made, "n2", with2)
	await(t, "the second node owns it", second.host.Owner)
	await(t, "the first one is made anew", func() bool { return second.host.canOwn("n1") == nil })
	if told := first.host.Status(); len(causes) != 1 || told.Copy != "copy-1" || told.Why != "" {
		t.Errorf("it was made anew %d times, and is told as %+v", len(causes), told)
	}
	if err := second.cell.append(); err != nil {
		t.Fatal(err)
	}
	second.cell.faults <- disk.Damage("run-8", "a block has a bad checksum")
	await(t, "the first node owns it again", first.host.Owner)
	await(t, "the second one is made anew", func() bool { return first.host.canOwn("n2") == nil })
	if len(causes2) != 1 {
		t.Errorf("the second one was made anew %d times", len(causes2))
	}
	first.cell.faults <- disk.Damage("run-9", "a block has a bad checksum")
	await(t, "it is told", func() bool { return strings.Contains(first.host.Status().Why, "run-9") })
	if first.host.handsOver(nil) {
		t.Error("it hands the cell over again")
	}
	if err := first.cell.append(); err != nil {
		t.Fatal(err)
	}
}

// A copy that is damaged again as soon as it was made anew waits: it is not copied over and over.
func TestDamagedAgain(t *testing.T) {
	s, made := newServer(t)
	owner, standby, causes := pair(t, s, made)
	standby.cell.mu.Lock()
	standby.cell.broken = disk.Damage("checkpoint-7", "it was copied as it is")
	standby.cell.mu.Unlock()
	standby.cell.faults <- disk.Damage("run-7", "a block has a bad checksum")
	await(t, "it waits", func() bool {
		told := standby.host.Status()
		return told.Role == board.Damaged && strings.Contains(told.Why, "damaged again")
	})
	if len(causes) != 1 {
		t.Errorf("it was made anew %d times", len(causes))
	}
	if err := owner.cell.append(); err != nil {
		t.Fatal(err)
	}
}
