package counters

import (
	"fmt"
	"math"
	"sort"
)

// slotsFor returns the smallest capacity of a shard that holds used slots at the usual load and has room for more.
// Capacities, in whole blocks, grow by an eighth, and the shards are spread evenly over the first eighth: so they reach
// their load one after the other however many devices there are, and the table as a whole stays near 0.85.
func slotsFor(shard, used, room int) int {
	for ideal := slotsMin * math.Pow(growBy, float64(shard)/Shards); ; ideal *= growBy {
		n := max(int(ideal+blockSlots/2)/blockSlots, 1) * blockSlots
		if used <= n*loadMaxPercent/100 && room <= roomIn(n, used) {
			return n
		}
	}
}

// roomIn returns how many more slots a shard of n may be promised to take.
func roomIn(n, used int) int { return n*loadPromisedPercent/100 - used }

// roomFor returns the room that a shard needs when n devices are inserted anywhere: its share, 8 standard deviations,
// and 32 because few devices are not normally distributed. That one shard of 256 gets more has a probability under
// 2^-40.
func roomFor(n int) int {
	if n <= 0 {
		return 0
	}
	share := float64(n) / Shards
	return int(math.Ceil(share)) + int(math.Ceil(8*math.Sqrt(share))) + 32
}

// insertsFor returns how many inserts room in every shard is enough for: the inverse of roomFor, to the unit, so that
// growing for n promises n.
func insertsFor(room int) int {
	if room <= 0 {
		return 0
	}
	return sort.Search(room*Shards, func(n int) bool { return roomFor(n+1) > room })
}

// promisable returns how many inserts the fullest shard still allows, and the memory for names.
func (t *Table) promisable() int {
	room := math.MaxInt
	for i := range t.shards {
		room = min(room, roomIn(t.tables[i].capacity(), t.shards[i].used.get()))
	}
	return min(insertsFor(room), namesFor(t.nameMem.blocks(chunkBytes)))
}

// namesInChunk is how many names a chunk takes at least.
const namesInChunk = chunkWords / ((entryNameAt + NameBytesMax + 7) / 8)

// chunksFor returns how many free chunks n names need at most, whatever their lengths and shards: each shard ends one
// chunk too early.
func chunksFor(n int) int { return n/namesInChunk + Shards }

// namesFor returns how many names free chunks are enough for: the inverse of chunksFor.
func namesFor(chunks int) int {
	if chunks < Shards {
		return 0
	}
	return (chunks-Shards+1)*namesInChunk - 1
}

// Reserve promises room for n inserts, or for none: then the engine leaves the gate, lets Grow(n, …) run at the next
// cut and tries again. A reservation holds until the next Grow, whether it was used or not; so a batch reserves inside
// the gate, before its first insert. It counts as many devices as the batch might insert. After LoadShard and BindAt
// nothing is promised until Grow ran.
func (t *Table) Reserve(n int) bool { return t.promised.take(n) }

// Grow runs at an instant when nobody is inside the gate. It ends all reservations and promises room anew: at least for
// need inserts, however much has to be copied for that. Beyond it, it grows shards that are over their usual load, or
// that keep the promise small, as long as the tables it makes take budgetBytes together; a single shard is never cut,
// so with any budget at all one of them grows. A shard that is just being copied by AppendShard is waited for only if
// need demands it. Every *Slot from before is void. It fails with ErrNoMemory: what could be done is done, and promised
// is what is there. The memory for names is mapped here too, so that no insert within the promise asks for any.
func (t *Table) Grow(need, budgetBytes int) error {
	err := t.growTo(need, &budgetBytes)
	if err == nil {
		err = t.growAhead(budgetBytes)
	}
	if err == nil {
		err = t.nameMem.reserve(chunksFor(max(need, promiseMin)), chunkBytes)
	}
	t.promised.reset(t.promisable())
	return err
}

// growTo gives every shard the room that need inserts demand.
func (t *Table) growTo(need int, budgetBytes *int) error {
	demand := roomFor(need)
	for i := range t.shards {
		h, sh := &t.tables[i], &t.shards[i]
		if roomIn(h.capacity(), sh.used.get()) >= demand {
			continue
		}
		sh.mu.Lock()
		err := t.resize(i, slotsFor(i, sh.used.get(), demand))
		sh.mu.Unlock()
		if err != nil {
			return err
		}
		*budgetBytes -= h.bytes()
	}
	return nil
}

// growAhead grows shards before they have to, where the last call stopped.
func (t *Table) growAhead(budgetBytes int) error {
	comfort := roomFor(promiseMin)
	for range Shards {
		if budgetBytes <= 0 {
			return nil
		}
		h, sh := &t.tables[t.growFrom], &t.shards[t.growFrom]
		used := sh.used.get()
		crowded := used > h.capacity()*loadMaxPercent/100 || roomIn(h.capacity(), used) < comfort
		if crowded && sh.mu.TryLock() {
			err := t.resize(t.growFrom, slotsFor(t.growFrom, used, comfort))
			sh.mu.Unlock()
			if err != nil {
				return err
			}
			budgetBytes -= h.bytes()
		}
		t.growFrom = (t.growFrom + 1) % Shards
	}
	return nil
}

// resize moves a shard, whose lock is held, into a table of n slots. Slots are in the order of their hashes, so it
// reads and writes straight ahead.
func (t *Table) resize(shard, n int) error {
	h, err := t.newSlots(n)
	if err != nil {
		return fmt.Errorf("grow shard %d to %d slots: %w", shard, n, err)
	}
	old := t.tables[shard]
	for i := range uint64(old.capacity()) {
		from := old.numbered(i).plain()
		if from[0] == 0 {
			continue
		}
		*h.addAlone(Key{Hi: from[0], Lo: from[1]}) = *from
	}
	t.tables[shard] = h
	t.freeSlots(old)
	return nil
}
