package shard

import (
	"sync/atomic"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// ground is what a turn looks up and changes beside the words of slots and the pools of products: the state, or, in a
// check, copies of it. A message of an active device asks it for nothing but its slot, with 255 others.
type ground struct {
	table    deviceTable
	upgrades upgradeTable
	repeats  repeatTable
	commands commandBook
	serial   *atomic.Uint64 // of licences, the last one
	expiry   *expiry
	sketch   *license.Sketch // of products, in a check; nil: they are the catalogue's
}

// deviceTable is what decisions need of counters.Table.
type deviceTable interface {
	FindBatch(keys []counters.Key, found []*counters.Slot)
	Find(k counters.Key) *counters.Slot
	Insert(k counters.Key, name []byte) (slot *counters.Slot, isNew bool, err error)
	Name(o counters.Ordinal) (product uint32, name []byte)
	Grant(o counters.Ordinal) counters.Grant
	SetGrant(o counters.Ordinal, g counters.Grant)
}

// upgradeTable is what decisions need of recovery.Upgrades.
type upgradeTable interface {
	Find(key []byte) *record.Upgrade
	Put(key []byte, up *record.Upgrade, seq uint64)
}

// repeatTable is what decisions need of duplicates.Memory.
type repeatTable interface {
	Begin(k *record.EventKey, nowS int64) record.Outcome
	Remember(d record.Decided)
	Forget(k *record.EventKey, isDuplicate bool)
}

// commandBook is what decisions need of commands.Commands.
type commandBook interface {
	Add(decide func() (m record.Command, offline bool)) (m record.Command, ok bool)
	Disown(o counters.Ordinal, change func() (from, to uint64)) (m record.Command, ok bool)
}
