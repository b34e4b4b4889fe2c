package powercut

import (
	"math/rand/v2"
	"os"
)

// early is the disk's own initiative: write-back that nobody asked for, so that a cut finds states between "nothing
// of it" and "all of it". It never takes back, and it never writes what an ordering of a real disk could not have
// written: names after what they depend on, data after the creation and the truncation it follows.
type early struct {
	random *rand.Rand
	recent []recentPage // a ring
	next   int
}

type recentPage struct {
	node  *inode
	index int64
}

// gustOneIn is the chance of an early write after a request, 1 in it: often enough that most cuts are torn, seldom
// enough that most unsynced data is still lost.
const gustOneIn = 8

func newEarly(seed uint64) *early {
	return &early{random: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))}
}

// saw remembers the pages of a write for a later gust.
func (e *early) saw(i *inode, off, end int64) {
	for index := off / pageBytes; index*pageBytes < end; index++ {
		if len(e.recent) < recentPagesMax {
			e.recent = append(e.recent, recentPage{i, index})
			continue
		}
		e.recent[e.next] = recentPage{i, index}
		e.next = (e.next + 1) % recentPagesMax
	}
}

// gust lets the disk write early, or not.
func (d *disk) gust() error {
	e := d.early
	if e == nil || e.random.IntN(gustOneIn) != 0 {
		return nil
	}
	if len(d.journal) > 0 && e.random.IntN(4) == 0 {
		return d.gustOps(d.journal[e.random.IntN(len(d.journal))])
	}
	if len(e.recent) == 0 {
		return nil
	}
	return d.gustSectors(e.recent[e.random.IntN(len(e.recent))])
}

func (d *disk) gustOps(o *op) error {
	n, err := d.keepOps(func(other *op) bool { return other == o })
	d.stats.EarlyOps += uint64(n)
	return err
}

// gustSectors writes a run of sectors of one page, if it is still held back and its file has a name. The page stays
// held back: a sync must not depend on what came early.
func (d *disk) gustSectors(r recentPage) error {
	i, c, e := r.node, &r.node.content, d.early
	if c.pages[r.index] == nil || i.removed() {
		return nil
	}
	if i.kept.dir == nil {
		n, err := d.keepOps(func(o *op) bool { return o.kind == opCreate && o.node == i })
		d.stats.EarlyOps += uint64(n)
		if err != nil {
			return err
		}
	}
	file, err := i.lower()
	if err != nil {
		return err
	}
	defer i.settle()
	if err := c.dropStale(file); err != nil {
		return err
	}
	from, to := drawSectors(e.random)
	return d.keepSectors(c, file, r.index, from, to)
}

// keepSectors writes a part of a page that is held back, as far as it lies in the file.
func (d *disk) keepSectors(c *content, file *os.File, index int64, from, to int) error {
	off := index*pageBytes + int64(from)
	data := c.pages[index][from:to]
	if beyond := off + int64(len(data)) - c.size; beyond > 0 {
		data = data[:max(0, int64(len(data))-beyond)]
	}
	if len(data) == 0 {
		return nil
	}
	if _, err := file.WriteAt(data, off); err != nil {
		return err
	}
	c.lowerBytes = max(c.lowerBytes, off+int64(len(data)))
	d.stats.KeptBytes += uint64(len(data))
	d.stats.EarlyBytes += uint64(len(data))
	return nil
}
