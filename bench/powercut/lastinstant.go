package powercut

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
)

// What a disk with a cache does in the instant in which the power goes, and what it does when a sync fails.

// keepSome makes an arbitrary part of what was not synced durable: of the changes of names, and of each file's pages.
// Each file has a chance of its own, none and all among them, so that a file may be there whole beside one that is not,
// and a page without the one written before it. The rest is lost if nothing is served afterwards.
func (d *disk) keepSome(seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 1))
	lucky := make(map[*op]bool)
	chance := chanceOf(random)
	for _, o := range d.journal {
		lucky[o] = random.Float64() < chance
	}
	if _, err := d.keepOps(func(o *op) bool { return lucky[o] }); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(d.inodes)) {
		if err := d.keepSomePages(d.inodes[id], random); err != nil {
			return err
		}
	}
	return nil
}

// chanceOf draws how much survives: nothing, all, or anything between.
func chanceOf(random *rand.Rand) float64 {
	switch random.IntN(4) {
	case 0:
		return 0
	case 1:
		return 1
	}
	return random.Float64()
}

// keepSomePages is keepSome for one file. A truncation goes first or is lost with all that came after it; what lies
// beyond the durable size may bring the size with it, and the size may come alone, with zeros.
func (d *disk) keepSomePages(i *inode, random *rand.Rand) error {
	c, chance := &i.content, chanceOf(random)
	if i.isDir() || !c.dirty() || c.stale && random.IntN(2) == 0 {
		return nil
	}
	file, err := i.lower()
	if err != nil || file == nil {
		return err
	}
	defer i.settle()
	if err := c.dropStale(file); err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(c.pages)) {
		if random.Float64() >= chance {
			continue
		}
		from, to := 0, pageBytes
		if random.IntN(tornOneIn) == 0 {
			from, to = drawSectors(random)
		}
		if err := d.keepSectors(c, file, index, from, to); err != nil {
			return err
		}
	}
	if c.size > c.lowerBytes && random.IntN(2) == 0 {
		return file.Truncate(c.size)
	}
	return nil
}

// drawSectors returns the bounds of a run of sectors in a page.
func drawSectors(random *rand.Rand) (from, to int) {
	const sectors = pageBytes / sectorBytes
	first := random.IntN(sectors)
	return first * sectorBytes, (first + 1 + random.IntN(sectors-first)) * sectorBytes
}

// power is when the disk is cut by itself.
type power struct {
	left uint64            // changes until then; 0: never
	path string            // changes of what begins with it count
	seed uint64            // 0: nothing but what was synced survives
	gone func(what string) // ends the process
}

// changing counts a change that was asked for. At the last one it cuts the power: the change has reached the cache, and
// nobody is answered any more.
func (d *disk) changing(what string, i *inode) {
	if d.power.left == 0 || !strings.HasPrefix(i.path(), d.power.path) {
		return
	}
	if d.power.left--; d.power.left > 0 {
		return
	}
	if d.power.seed != 0 {
		_ = d.keepSome(d.power.seed) // What an error leaves is a state like any other.
	}
	d.power.gone(what + " " + i.path())
}

// path is where applications find i, for messages.
func (i *inode) path() string {
	if i.live.dir == nil {
		return "."
	}
	return strings.TrimPrefix(i.live.dir.path()+"/"+i.live.name, "./")
}

// failure is a sync that is to fail.
type failure struct {
	prefix string // of the file's path
	seed   uint64
}

// failSync answers a sync as a disk does that could not write: of each page it is open whether it was written, is still
// in the disk's cache, or is lost. In the kernel's page cache all of them look written.
func (d *disk) failSync(i *inode, seed uint64) error {
	d.stats.Failed++
	c, random := &i.content, rand.New(rand.NewPCG(seed, 2))
	file, err := i.lower()
	if err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(c.pages)) {
		fate := random.IntN(3)
		if seed == 0 {
			fate = 0
		}
		switch {
		case fate == 0:
			d.dropPage(c, index)
			c.stale = c.stale || index*pageBytes >= c.validBytes && index*pageBytes < c.lowerBytes
		case fate == 1 && file != nil && !c.stale:
			if err := d.keepSectors(c, file, index, 0, pageBytes); err != nil {
				return err
			}
		}
	}
	return syscall.EIO
}
