package shard

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

const (
	// commandsMax bounds the disconnect commands that are kept: about 100 bytes each. The oldest give way.
	commandsMax = 1 << 20
	// commandsKeptFor is how long a command waits for its device to connect (R3).
	commandsKeptFor = 24 * time.Hour
	// refreshesKept is how many refresh commands are in memory; older ones are found in the audit log.
	refreshesKept = 4096
	// commandPage bounds the commands that a stream is handed at once.
	commandPage = 500
)

// CommandPlace is a place in the streams of commands: everything up to it was heard. It stays valid across restarts.
type CommandPlace struct {
	Control uint64 // control sequence: refreshes
	Command uint64 // sequence of disconnects
}

// Command is what a gateway is told: to disconnect a device, or, with an empty Device, to forget what it remembers of a
// product.
type Command struct {
	Place   CommandPlace
	Product string
	Device  string
	Reason  event.Code
}

// Listener says whose commands are asked for.
type Listener struct {
	Account     uint32 // the account that the token is bound to, 0 for all
	Producer    []byte // only what this producer holds and what nobody holds
	HasProducer bool
}

// commands keeps disconnects until their device connects, and the latest refreshes. Only what is durable is in it.
type commands struct {
	last atomic.Uint64 // the last sequence given out

	mu        sync.Mutex
	kept      map[counters.Ordinal]*record.Command
	count     atomic.Int64      // of kept, so that a connect need not lock
	order     []*record.Command // by sequence; entries that kept no longer has are skipped
	refreshes []refresh
	wake      chan struct{} // closed when there is something new
}

type refresh struct {
	control uint64
	product uint32
}

func (c *commands) init() {
	c.kept = map[counters.Ordinal]*record.Command{}
	c.wake = make(chan struct{})
}

// command tells the holder of the device in hand, or every gateway of its account, that it is offline now. It is
// published when the group is durable.
func (t *turn) command(reason event.Code, session counters.SessionWord) {
	c := record.Command{
		Seq: t.e.commands.last.Add(1), Ordinal: uint64(t.slot.Ordinal()), Holder: session.Holder(), Change: session.Change(),
		AtMs: t.nowMs, Reason: reason,
	}
	t.l.records.Command(c)
	t.l.commands = append(t.l.commands, c)
}

// putOffline takes the device in hand offline, whoever holds it, and has its holder told.
func (t *turn) putOffline(reason event.Code) {
	if out := t.slot.SetOffline(0, true); out.WentOffline() {
		t.session(out)
		t.command(reason, out.After)
	}
}

// publish makes the commands of a durable group heard, but those whose device has connected meanwhile.
func (e *Engine) publish(commands []record.Command) {
	if len(commands) == 0 {
		return
	}
	slices.SortFunc(commands, func(a, b record.Command) int { return cmp.Compare(a.Seq, b.Seq) })
	c := &e.commands
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range commands {
		slot := e.table.SlotOf(counters.Ordinal(commands[i].Ordinal))
		if slot != nil && slot.Session().Change() == commands[i].Change {
			c.keep(&commands[i])
		}
	}
	c.trim(e.clock.view())
	c.notify()
}

func (c *commands) keep(m *record.Command) {
	c.kept[counters.Ordinal(m.Ordinal)] = m
	c.count.Store(int64(len(c.kept)))
	c.order = append(c.order, m)
}

// renew gives the command that is kept for a device the session that it has now, under its old number: who heard it
// hears it no more.
func (c *commands) renew(o counters.Ordinal, session counters.SessionWord) (m record.Command, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.kept[o]
	if kept == nil {
		return record.Command{}, false
	}
	kept.Change = session.Change()
	return *kept, true
}

// trim forgets what is too old or too much, and closes the holes in order when they are half of it.
func (c *commands) trim(nowMs int64) {
	drop := 0
	for ; drop < len(c.order); drop++ {
		m := c.order[drop]
		live := c.kept[counters.Ordinal(m.Ordinal)] == m
		if live && nowMs-m.AtMs < commandsKeptFor.Milliseconds() && len(c.kept) <= commandsMax {
			break
		}
		if live {
			delete(c.kept, counters.Ordinal(m.Ordinal))
		}
	}
	c.order = c.order[drop:]
	if len(c.order) > 2*len(c.kept)+commandPage {
		c.order = slices.DeleteFunc(slices.Clone(c.order), func(m *record.Command) bool {
			return c.kept[counters.Ordinal(m.Ordinal)] != m
		})
	}
	c.count.Store(int64(len(c.kept)))
}

func (c *commands) notify() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// notifyAll wakes whoever waits for commands.
func (c *commands) notifyAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify()
}

// connected forgets the command for a device that has connected. It is called inside the gate, after the session
// changed: a command that is published later sees the change and is dropped.
func (c *commands) connected(o counters.Ordinal) {
	if c.count.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, o)
	c.count.Store(int64(len(c.kept)))
}

// refreshActions are the changes after which denials that a gateway remembers may be wrong.
func refreshes(action string) bool {
	switch action {
	case license.ActionLotCredit, license.ActionTopupCredit, license.ActionPlan:
		return true
	}
	return false
}

// refresh makes a durable change heard.
func (c *commands) refresh(control uint64, product uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refreshes) >= refreshesKept {
		c.refreshes = slices.Clone(c.refreshes[refreshesKept/2:])
	}
	c.refreshes = append(c.refreshes, refresh{control, product})
	c.notify()
}

// CommandsNow returns the place from which a listener hears the disconnects that are kept and whatever comes.
func (e *Engine) CommandsNow() CommandPlace { return CommandPlace{Control: e.catalogue.Load().Seq} }

// Commands returns what a listener has not heard yet, at most a page, and a channel that is closed when there may be
// more. The place to go on from is that of the last command, or the returned one when there is none.
func (e *Engine) Commands(
	after CommandPlace,
	who Listener,
) (list []Command, next CommandPlace, more <-chan struct{}, err error) {
	next = after
	var holder uint32
	if who.HasProducer {
		if p := e.producers.Find(who.Account, who.Producer); p != nil {
			holder = p.Ordinal
		}
	}
	cat := e.catalogue.Load()
	add := func(p *license.Product, device string, reason event.Code, place CommandPlace) {
		next = place
		if p != nil && (who.Account == 0 || p.AccountID == who.Account) {
			list = append(list, Command{Place: place, Product: p.Name, Device: device, Reason: reason})
		}
	}
	c := &e.commands
	if to := c.refreshesBefore(cat.Seq); to > after.Control {
		if err := e.oldRefreshes(after, to, cat, add); err != nil {
			return nil, after, nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	from, _ := slices.BinarySearchFunc(
		c.refreshes,
		next.Control+1,
		func(r refresh, seq uint64) int { return cmp.Compare(r.control, seq) },
	)
	for _, r := range c.refreshes[from:] {
		add(cat.ProductByID(r.product), "", 0, CommandPlace{Control: r.control, Command: next.Command})
	}
	c.trim(e.clock.view())
	from, _ = slices.BinarySearchFunc(
		c.order,
		next.Command+1,
		func(m *record.Command, seq uint64) int { return cmp.Compare(m.Seq, seq) },
	)
	for _, m := range c.order[from:] {
		if len(list) >= commandPage {
			break
		}
		place := CommandPlace{Control: next.Control, Command: m.Seq}
		if c.kept[counters.Ordinal(m.Ordinal)] != m || (who.HasProducer && m.Holder != 0 && m.Holder != holder) {
			next = place
			continue
		}
		product, name := e.table.Name(counters.Ordinal(m.Ordinal))
		add(cat.ProductByID(product), string(name), m.Reason, place)
	}
	return list, next, c.wake, nil
}

// refreshesBefore returns the control sequence up to which refreshes are only in the audit log; seq is the catalogue's.
func (c *commands) refreshesBefore(seq uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refreshes) > 0 {
		return c.refreshes[0].control - 1
	}
	return seq
}

// oldRefreshes adds refreshes that are no longer in memory, up to control sequence to, from the audit log, oldest
// first.
func (e *Engine) oldRefreshes(
	after CommandPlace,
	to uint64,
	cat *license.Catalogue,
	add func(*license.Product, string, event.Code, CommandPlace),
) error {
	seen := map[string]uint64{} // the latest of each product is enough
	err := e.Audit(to+1, func(entry license.AuditEntry) bool {
		if entry.Seq <= after.Control {
			return false
		}
		if refreshes(entry.Action) {
			seen[entry.Target] = max(seen[entry.Target], entry.Seq)
		}
		return true
	})
	if err != nil {
		return err
	}
	type old struct {
		product string
		seq     uint64
	}
	var list []old
	for product, seq := range seen {
		list = append(list, old{product, seq})
	}
	slices.SortFunc(list, func(a, b old) int { return cmp.Compare(a.seq, b.seq) })
	for _, o := range list {
		add(cat.Product([]byte(o.product)), "", 0, CommandPlace{Control: o.seq, Command: after.Command})
	}
	add(nil, "", 0, CommandPlace{Control: max(to, after.Control), Command: after.Command})
	return nil
}

// commandBytes is the size of an entry of the commands' section of a checkpoint.
const commandBytes = 8 + 8 + 4 + 8 + 8 + 1

// appendKept appends the commands that are kept. What is not durable yet is in the log behind the checkpoint.
func (c *commands) appendKept(dst []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.kept {
		dst = binary.LittleEndian.AppendUint64(dst, m.Seq)
		dst = binary.LittleEndian.AppendUint64(dst, m.Ordinal)
		dst = binary.LittleEndian.AppendUint32(dst, m.Holder)
		dst = binary.LittleEndian.AppendUint64(dst, m.Change)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(m.AtMs))
		dst = append(dst, byte(m.Reason))
	}
	return dst
}

func (j *joiner) commandEntries(data []byte) error {
	if len(data)%commandBytes != 0 {
		return errors.New("the section of commands is damaged")
	}
	for ; len(data) > 0; data = data[commandBytes:] {
		err := j.Command(record.Command{
			Seq: binary.LittleEndian.Uint64(data), Ordinal: binary.LittleEndian.Uint64(data[8:]),
			Holder: binary.LittleEndian.Uint32(data[16:]), Change: binary.LittleEndian.Uint64(data[20:]),
			AtMs: int64(binary.LittleEndian.Uint64(data[28:])), Reason: event.Code(data[36]),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Command implements record.Effects: the latest command about a device is the one that counts.
func (j *joiner) Command(m record.Command) error {
	j.commandSeq(m.Seq)
	if have := j.commands[m.Ordinal]; m.Seq > have.Seq || (m.Seq == have.Seq && m.Change > have.Change) {
		j.commands[m.Ordinal] = m
	}
	return nil
}

func (j *joiner) commandSeq(n uint64) {
	if n > j.e.commands.last.Load() {
		j.e.commands.last.Store(n)
	}
}

// keepCommands keeps what was recovered of devices that have not connected since: their session is the one that the
// command ended.
func (j *joiner) keepCommands() {
	c := &j.e.commands
	list := slices.SortedFunc(maps.Values(j.commands), func(a, b record.Command) int { return cmp.Compare(a.Seq, b.Seq) })
	for i := range list {
		slot := j.e.table.SlotOf(counters.Ordinal(list[i].Ordinal))
		if slot != nil && slot.Session().Change() == list[i].Change {
			c.keep(&list[i])
		}
	}
}
