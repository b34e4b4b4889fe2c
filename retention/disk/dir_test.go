package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func dirOptions(path string) DirOptions {
	return DirOptions{Path: path, Region: "default", Space: SpaceOptions{StopBytes: 1, BallastBytes: 1 << 16}}
}

func TestDirIsTheSameAtTheNextStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not", "there", "yet")
	o := dirOptions(path)
	o.Now = func() time.Time { return time.Date(2026, 11, 23, 9, 30, 0, 7, time.UTC) }
	first, err := OpenDir(o)
	if err != nil {
		t.Fatal(err)
	}
	seed, created := first.HashSeed(), first.CreatedAt()
	if seed == [16]byte{} || !created.Equal(o.Now()) || first.Region() != "default" {
		t.Fatalf("seed %x, created %s, region %q", seed, created, first.Region())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	o.Now = time.Now
	again, err := OpenDir(o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.HashSeed() != seed || !again.CreatedAt().Equal(created) {
		t.Fatalf("seed %x, created %s", again.HashSeed(), again.CreatedAt())
	}
	for _, sub := range []string{again.LogPath(), again.LedgerPath(), again.CheckpointPath()} {
		if st, err := os.Stat(sub); err != nil || !st.IsDir() {
			t.Errorf("%q: %v", sub, err)
		}
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(dirOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenDir(dirOptions(path))
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "stop that daemon") {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = OpenDir(dirOptions(path)); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestDirIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(t *testing.T, path string, o *DirOptions)
		says    []string
		damaged bool
	}{
		{
			"other region", func(_ *testing.T, _ string, o *DirOptions) { o.Region = "eu" }, []string{
				`"default"`, `"eu"`,
				"--region default",
			}, false,
		},
		{"newer version", func(t *testing.T, path string, _ *DirOptions) {
			write(t, path+"/VERSION", EncodeSealed(versionTitle, [][2]string{{"version", strconv.Itoa(FormatVersion + 1)}}))
		}, []string{"version", "newer meterd"}, false},
		{"no version", func(t *testing.T, path string, _ *DirOptions) {
			write(t, path+"/log/MARK", []byte("x"))
			os.Remove(path + "/VERSION")
		}, []string{"/VERSION", "log"}, true},
		{"no version, but a log", func(t *testing.T, path string, _ *DirOptions) {
			if err := MakeDir(path + "/log"); err != nil {
				t.Fatal(err)
			}
			write(t, path+"/log/segment", []byte("x"))
			os.Remove(path + "/VERSION")
		}, []string{"/VERSION", `"log"`}, true},
		{"version of no number", func(t *testing.T, path string, _ *DirOptions) {
			write(t, path+"/VERSION", EncodeSealed(versionTitle, [][2]string{{"version", "x"}}))
		}, []string{"/VERSION"}, true},
		{
			"version empty", func(t *testing.T, path string, _ *DirOptions) { write(t, path+"/VERSION", nil) },
			[]string{"/VERSION"},
			true,
		},
		{
			"identity gone", func(_ *testing.T, path string, _ *DirOptions) { os.Remove(path + "/IDENTITY") },
			[]string{"/IDENTITY"},
			true,
		},
		{"seed short", func(t *testing.T, path string, _ *DirOptions) {
			write(t, path+"/IDENTITY", EncodeSealed(identityTitle, [][2]string{{"region", "default"}, {"hash_seed", "00"}}))
		}, []string{"/IDENTITY", "hash_seed"}, true},
		{"somebody else's", func(t *testing.T, path string, _ *DirOptions) {
			os.Remove(path + "/VERSION")
			write(t, path+"/thesis.tex", []byte("x"))
		}, []string{"thesis.tex", "--data"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			d, err := OpenDir(dirOptions(path))
			if err != nil {
				t.Fatal(err)
			}
			d.Close()
			o := dirOptions(path)
			c.do(t, path, &o)
			_, err = OpenDir(o)
			if err == nil || errors.Is(err, ErrDamaged) != c.damaged {
				t.Fatalf("damaged %v wanted, got: %v", c.damaged, err)
			}
			for _, says := range append(c.says, path) {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is not in: %v", says, err)
				}
			}
		})
	}
}

// TestVersionsThatAreRead: an older directory is not converted, and a newer one is not guessed at.
func TestVersionsThatAreRead(t *testing.T) {
	if VersionMin > FormatVersion {
		t.Fatalf("versions %d to %d", VersionMin, FormatVersion)
	}
	for _, c := range []struct {
		version int
		says    string
	}{
		{1, `data directory "/d" has format version 1, this meterd needs 2: there is no conversion; ` +
			"start with an empty --data, or run the older meterd"},
		{2, ""},
		{3, ""},
		{4, `data directory "/d" has format version 4, this meterd knows up to 3: start the newer meterd that wrote it`},
	} {
		err := checkVersion("/d", c.version, 2, 3)
		if says := fmt.Sprint(err); err == nil && c.says != "" || err != nil && says != c.says {
			t.Errorf("version %d: %v", c.version, err)
		}
	}
}

// TestFlippedByteInSmallFiles flips every byte of VERSION and IDENTITY.
func TestFlippedByteInSmallFiles(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(dirOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	for _, name := range []string{"VERSION", "IDENTITY"} {
		file := filepath.Join(path, name)
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		for at := range st.Size() {
			flip(t, file, at)
			_, err := OpenDir(dirOptions(path))
			refused(t, err, file)
			flip(t, file, at)
		}
	}
	if d, err = OpenDir(dirOptions(path)); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// TestFirstStartCutShort removes VERSION, which is written last: the start goes on with what is there.
func TestFirstStartCutShort(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(dirOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	seed := d.HashSeed()
	d.Close()
	os.Remove(filepath.Join(path, "VERSION"))
	write(t, filepath.Join(path, "VERSION.tmp"), []byte("meterd da"))
	if d, err = OpenDir(dirOptions(path)); err != nil || d.HashSeed() != seed {
		t.Fatalf("seed %x: %v", d.HashSeed(), err)
	}
	d.Close()
	if d, err = OpenDir(dirOptions(path)); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestOptionsReportEveryFault(t *testing.T) {
	err := (&DirOptions{Region: "a\nb", Space: SpaceOptions{
		StopBytes: 5, ResumeBytes: 4, BallastBytes: 1,
		OpenBytes: 2,
	}}).Validate()
	for _, says := range []string{"no path", "region", "resume", "ballast"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in: %v", says, err)
		}
	}
}

// TestFirstIsCalledUntilTheFirstStartIsOver: what fails, or a crash, has it called again; later starts do not call it.
func TestFirstIsCalledUntilTheFirstStartIsOver(t *testing.T) {
	o, calls := dirOptions(t.TempDir()), 0
	broken := errors.New("broken")
	o.First = func() error {
		if calls++; calls == 1 {
			return broken
		}
		return nil
	}
	if _, err := OpenDir(o); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	for range 2 {
		d, err := OpenDir(o)
		if err != nil || calls != 2 {
			t.Fatalf("%d calls, %v", calls, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEmpty: what lies in rooms goes, what the first start fixed stays.
func TestEmpty(t *testing.T) {
	d, err := OpenDir(dirOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	seed := d.HashSeed()
	full := append(d.rooms(), d.HistoryPath())
	elsewhere := t.TempDir() // A room may lie on a disk of its own.
	if err := errors.Join(os.Remove(d.LogPath()), os.Symlink(elsewhere, d.LogPath())); err != nil {
		t.Fatal(err)
	}
	for _, room := range full {
		if err := os.MkdirAll(filepath.Join(room, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.Empty(), d.Close()); err != nil {
		t.Fatal(err)
	}
	for _, room := range full {
		if list, _ := os.ReadDir(room); len(list) > 0 {
			t.Errorf("%q still has %v", room, list)
		}
	}
	if to, err := os.Readlink(d.LogPath()); err != nil || to != elsewhere {
		t.Errorf("the log lies in %q, %v", to, err)
	}
	again, err := OpenDir(dirOptions(d.Path()))
	if err != nil || again.HashSeed() != seed {
		t.Fatal(err)
	}
	_ = again.Close()
}
