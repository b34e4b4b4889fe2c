package license

import "bytes"

// mirroredHook marks the numbers of webhooks that were taken from cell 0: no change of this cell has such a number.
const mirroredHook = 1 << 63

// Mirrored returns the number of the change of cell 0's catalogue that Mirror has taken over last.
func (c *Catalogue) Mirrored() uint64 { return c.names.mirrored }

// Mirrors reports whether Mirror would change nothing: all that truth says of tokens and webhooks without an account is
// said here.
func (c *Catalogue) Mirrors(truth *Catalogue) bool {
	n, _, _ := c.Mirror(Actor{}, truth)
	return n == nil
}

// Mirror makes tokens and webhooks that are bound to no account those of truth, the catalogue of cell 0. Nobody is
// told, since cell 0 has told it. isWhole is false if something is left for the next call, which keeps a change small.
// A truth that is older than what was taken over last changes nothing: it has what was deleted since. It returns nils
// if nothing changes.
func (c *Catalogue) Mirror(by Actor, truth *Catalogue) (n *Catalogue, ch *Change, isWhole bool) {
	if truth.Seq <= c.names.mirrored {
		return nil, nil, true
	}
	m := mirror{n: c.next(), truth: truth, left: mirrorObjectsMax}
	m.ch = &Change{Seq: m.n.Seq, AtMs: by.AtMs}
	m.tokens(c)
	m.hooks(c)
	switch {
	case len(m.ch.Puts) == 0:
		return nil, nil, true
	case m.left < 0:
		return m.n, m.ch, false
	}
	m.n.names.mirrored = truth.Seq
	m.ch.put(m.n.mirroredRecord())
	return m.n, m.ch, true
}

// mirror is one call of Mirror.
type mirror struct {
	n, truth *Catalogue
	ch       *Change
	left     int // objects that the change may still have; negative: there are more
}

// may reports whether the change may have one object more.
func (m *mirror) may() bool {
	m.left--
	return m.left >= 0
}

// tokens takes over what differs from old. What is gone goes first, so that its name is free.
func (m *mirror) tokens(old *Catalogue) {
	for _, t := range old.Tokens() {
		if kept := m.truth.Token(t.Name); t.Account == "" && (kept == nil || *kept != *t) && m.may() {
			m.n.dropToken(t)
			m.ch.put(put(tokenKey(t.Name), tombstone{Deleted: true}))
		}
	}
	for _, t := range m.truth.Tokens() {
		if t.Account == "" && m.n.Token(t.Name) == nil && m.may() {
			m.n.putToken(t)
			m.ch.put(tokenRecordOf(t))
		}
	}
}

// hooks takes over what differs from old.
func (m *mirror) hooks(old *Catalogue) {
	for _, h := range old.hooks.list {
		kept := m.truth.Hook(h.Name)
		if h.Account == "" && (kept == nil || kept.Account != "" || kept.ID|mirroredHook != h.ID) && m.may() {
			m.n.hooks.drop(m.n.Seq, h.Name)
			m.ch.put(put(hookKey(h.Name), tombstone{Deleted: true}))
		}
	}
	for _, h := range m.truth.hooks.list {
		own := *h
		own.ID |= mirroredHook
		held, record := m.n.Hook(h.Name), own.record()
		if h.Account != "" || held != nil && bytes.Equal(held.record().Value, record.Value) || !m.may() {
			continue
		}
		m.n.hooks.put(m.n.Seq, &own)
		m.ch.put(record)
	}
}
