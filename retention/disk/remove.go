package disk

import (
	"fmt"
	"os"
	"time"
)

// RemoveGently removes a file in small pieces. A file system that tells its disk of every freed block (ext4 with
// `discard`) has the next sync wait for all of them: beside the removal of 75 MB a sync took up to 19 ms, in pieces 3
// to 5, and a file of the log can be a hundred times as large. It takes as long: call it where nobody waits.
// The caller has renamed the file to what the next start removes.
func RemoveGently(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		err = truncateGently(path, info.Size(), 0)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// ShortenGently cuts a file that has from bytes to some, in small pieces as RemoveGently does.
func ShortenGently(path string, from, to int64) error {
	if err := truncateGently(path, from, to); err != nil {
		return fmt.Errorf("shorten %q: %w", path, err)
	}
	return nil
}

func truncateGently(path string, from, to int64) error {
	pause := time.NewTicker(removeEvery)
	defer pause.Stop()
	for size := from - removeBytes; ; size -= removeBytes {
		if err := os.Truncate(path, max(size, to)); err != nil {
			return err
		}
		if size <= to {
			return nil
		}
		<-pause.C
	}
}
