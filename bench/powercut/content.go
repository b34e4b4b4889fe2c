package powercut

import (
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
)

type page = [pageBytes]byte

// content is the data of a file: the pages not synced, over the lower file.
//
//	offset   0 ───────────── validBytes ───────── size
//	read     page, or lower  │ page, or zeros    │ end of file
//
// Pages win everywhere. Below validBytes the lower file shows through; from there on it does not, whatever it holds:
// a truncation that was not synced moved validBytes down, the bytes themselves are still there for the next cut.
type content struct {
	file       *os.File // the lower file while it is open
	size       int64    // as applications see it
	lowerBytes int64    // size of the lower file
	validBytes int64    // ≤ size
	stale      bool     // the lower file holds bytes at or after validBytes that must read as zeros
	pages      map[int64]*page
}

// dirty says whether a sync would change the lower file.
func (c *content) dirty() bool { return len(c.pages) > 0 || c.stale || c.size != c.lowerBytes }

// read fills dst from off on and returns how many bytes there were before the end of the file.
func (d *disk) read(i *inode, dst []byte, off int64) (int, error) {
	c := &i.content
	if off >= c.size {
		return 0, nil
	}
	dst = dst[:min(int64(len(dst)), c.size-off)]
	for at := 0; at < len(dst); {
		index, inPage := (off+int64(at))/pageBytes, (off+int64(at))%pageBytes
		if p := c.pages[index]; p != nil {
			at += copy(dst[at:], p[inPage:])
			continue
		}
		end := at + int(pageBytes-inPage)
		for end < len(dst) && c.pages[(off+int64(end))/pageBytes] == nil {
			end += pageBytes
		}
		end = min(end, len(dst))
		if err := i.readLower(dst[at:end], off+int64(at)); err != nil {
			return 0, err
		}
		at = end
	}
	return len(dst), nil
}

// readLower fills dst with what shows through from the lower file, zeros beyond.
func (i *inode) readLower(dst []byte, off int64) error {
	n := 0
	if through := i.content.validBytes - off; through > 0 {
		file, err := i.lower()
		if err != nil {
			return err
		}
		if file != nil {
			n, err = file.ReadAt(dst[:min(int64(len(dst)), through)], off)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
	}
	clear(dst[n:])
	return nil
}

// write holds data back at off. It changes nothing if it fails with ENOSPC.
func (d *disk) write(i *inode, data []byte, off int64) error {
	end := off + int64(len(data))
	if off < 0 || end > fileBytesMax {
		return syscall.EFBIG
	}
	pages := (end-1)/pageBytes - off/pageBytes + 1
	if d.stats.DirtyBytes+pages*pageBytes > d.options.DirtyBytesMax && d.shortOf(i, off, end) {
		d.stats.Refused++
		return syscall.ENOSPC
	}
	for at := off; at < end; {
		p, err := d.dirtyPage(i, at/pageBytes, at%pageBytes == 0 && end-at >= pageBytes)
		if err != nil {
			return err
		}
		at += int64(copy(p[at%pageBytes:], data[at-off:]))
	}
	i.content.size = max(i.content.size, end)
	return nil
}

// shortOf says whether the pages of [off, end) not yet in memory are more than the limit has room for.
func (d *disk) shortOf(i *inode, off, end int64) bool {
	fresh := int64(0)
	for index := off / pageBytes; index*pageBytes < end; index++ {
		if p := i.content.pages[index]; p == nil || p == d.hole {
			fresh++
		}
	}
	return d.stats.DirtyBytes+fresh*pageBytes > d.options.DirtyBytesMax
}

// dirtyPage returns the page to write into, filled with what the file holds there unless whole will overwrite it.
func (d *disk) dirtyPage(i *inode, index int64, whole bool) (*page, error) {
	c := &i.content
	p := c.pages[index]
	if p != nil && p != d.hole {
		return p, nil
	}
	fresh := d.takePage()
	switch {
	case p == d.hole:
		*fresh = page{}
	case !whole:
		if err := i.readLower(fresh[:], index*pageBytes); err != nil {
			d.givePage(fresh)
			return nil, err
		}
	}
	if c.pages == nil {
		c.pages = make(map[int64]*page)
	}
	c.pages[index] = fresh
	return fresh, nil
}

// truncate sets the size; what lies beyond reads as zeros if the file grows again.
func (d *disk) truncate(i *inode, size int64) error {
	if size < 0 || size > fileBytesMax {
		return syscall.EFBIG
	}
	c := &i.content
	if size < c.size {
		for index := range c.pages {
			if index*pageBytes >= size {
				d.dropPage(c, index)
			}
		}
		if p := c.pages[size/pageBytes]; p != nil && p != d.hole {
			clear(p[size%pageBytes:])
		}
		c.validBytes = min(c.validBytes, size)
		c.stale = c.stale || c.lowerBytes > c.validBytes
	}
	c.size = size
	return nil
}

// zero makes [off, end) read as zeros without changing the size: FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE.
func (d *disk) zero(i *inode, off, end int64) error {
	c := &i.content
	end = min(end, c.size)
	for at := off; at < end; {
		index, inPage := at/pageBytes, at%pageBytes
		n := min(pageBytes-inPage, end-at)
		if n == pageBytes || inPage == 0 && at+n == c.size {
			d.dropPage(c, index)
			switch {
			case index*pageBytes < c.validBytes:
				if c.pages == nil {
					c.pages = make(map[int64]*page)
				}
				c.pages[index] = d.hole
			case index*pageBytes < c.lowerBytes:
				c.stale = true // Early write-back may have put the page there.
			}
		} else {
			p, err := d.dirtyPage(i, index, false)
			if err != nil {
				return err
			}
			clear(p[inPage : inPage+n])
		}
		at += n
	}
	return nil
}

// keepContent makes data and size durable, data before size, as ext4 does with data=ordered.
func (d *disk) keepContent(i *inode) error {
	c := &i.content
	if !c.dirty() {
		return nil
	}
	file, err := i.lower()
	if err != nil || file == nil {
		return err
	}
	if err := c.dropStale(file); err != nil {
		return err
	}
	indexes := make([]int64, 0, len(c.pages))
	for index := range c.pages {
		indexes = append(indexes, index)
	}
	slices.Sort(indexes)
	for len(indexes) > 0 {
		run := 1
		for run < len(indexes) && run < runBytesMax/pageBytes && indexes[run] == indexes[run-1]+1 {
			run++
		}
		if err := d.keepRun(c, file, indexes[:run]); err != nil {
			return err
		}
		indexes = indexes[run:]
	}
	if c.lowerBytes != c.size {
		if err := file.Truncate(c.size); err != nil {
			return err
		}
	}
	c.lowerBytes, c.validBytes = c.size, c.size
	for index := range c.pages {
		d.dropPage(c, index)
	}
	return nil
}

// keepRun writes adjoining pages with one call.
func (d *disk) keepRun(c *content, file *os.File, run []int64) error {
	d.scratch = d.scratch[:0]
	for _, index := range run {
		d.scratch = append(d.scratch, c.pages[index][:]...)
	}
	off := run[0] * pageBytes
	data := d.scratch[:min(int64(len(d.scratch)), c.size-off)]
	if _, err := file.WriteAt(data, off); err != nil {
		return err
	}
	c.lowerBytes = max(c.lowerBytes, off+int64(len(data)))
	d.stats.KeptBytes += uint64(len(data))
	return nil
}

// dropStale lets a truncation reach the lower file. It goes before any data: no disk shows new bytes among the ones
// that a truncation took away.
func (c *content) dropStale(file *os.File) error {
	if !c.stale {
		return nil
	}
	if err := file.Truncate(c.validBytes); err != nil {
		return err
	}
	c.lowerBytes, c.stale = c.validBytes, false
	return nil
}

func (d *disk) takePage() *page {
	d.stats.DirtyBytes += pageBytes
	if n := len(d.spare); n > 0 {
		p := d.spare[n-1]
		d.spare = d.spare[:n-1]
		return p
	}
	return new(page)
}

func (d *disk) givePage(p *page) {
	d.stats.DirtyBytes -= pageBytes
	if len(d.spare) < spareBytesMax/pageBytes {
		d.spare = append(d.spare, p)
	}
}

func (d *disk) dropPage(c *content, index int64) {
	if p, ok := c.pages[index]; ok {
		delete(c.pages, index)
		if p != d.hole {
			d.givePage(p)
		}
	}
}
