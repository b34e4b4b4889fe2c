package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// RemoveGently removes a file in small pieces. A file system that tells its disk of every freed block (ext4 with
// `discard`) has the next sync wait for all of them: beside the removal of 75 MB a sync took up to 19 ms, in pieces 3
// to 5, and a file of the log can be a hundred times as large. It takes as long: call it where nobody waits.
// The caller has renamed the file to what the next start removes.
func RemoveGently(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	pause := time.NewTicker(removeEvery)
	defer pause.Stop()
	for size := info.Size() - removeBytes; size > 0; size -= removeBytes {
		if err := os.Truncate(path, size); err != nil {
			return fmt.Errorf("remove %q: %w", path, err)
		}
		<-pause.C
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// RemoveAllGently removes a directory with its files, each as RemoveGently does.
func RemoveAllGently(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return RemoveGently(path)
	})
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("drop %q: %w", dir, err)
	}
	return nil
}
