package shard

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meterd/meterd/shard/claims"
)

// Producer is a gateway as its requests name it, and what is remembered of its sequences.
type Producer struct {
	ProducerKey
	Ordinal uint32
	SeenMs  int64 // of its last request, Unix milliseconds; after a restart, up to an hour before that
	claims.Sequences
}

// ProducerKey is the place of a producer in lists: by its name, and among equal ones by that of its account.
type ProducerKey struct {
	Name    string
	Account string // "" is the space that unbound tokens share
}

// Compare returns -1, 0 or 1 if k is before, at or behind o.
func (k ProducerKey) Compare(o ProducerKey) int {
	return cmp.Or(strings.Compare(k.Name, o.Name), strings.Compare(k.Account, o.Account))
}

// Producers returns the first n producers of an account, 0: of all, behind a place. Those that have notes only are not
// among them. What it shows may not be durable yet. It looks at the names of all, and takes no part of the gate.
func (e *Engine) Producers(account uint32, after ProducerKey, n int) []Producer {
	type candidate struct {
		ProducerKey
		p *claims.Producer
	}
	var first []candidate // the first n in order once there were more, and those that came since
	isFull := false
	tidy := func() {
		slices.SortFunc(first, func(a, b candidate) int { return a.Compare(b.ProducerKey) })
		first = first[:min(n, len(first))]
	}
	accounts := e.catalogue.Load()
	for p := range e.producers.All() {
		if account != 0 && p.Account != account || p.Account == claims.NotesAccount {
			continue
		}
		k := ProducerKey{Name: p.Name}
		if a := accounts.AccountByID(p.Account); a != nil {
			k.Account = a.Name
		}
		if k.Compare(after) <= 0 || isFull && k.Compare(first[n-1].ProducerKey) >= 0 {
			continue
		}
		if first = append(first, candidate{k, p}); len(first) == 2*n {
			tidy()
			isFull = true
		}
	}
	tidy()
	list := make([]Producer, len(first))
	for i, f := range first {
		list[i] = Producer{f.ProducerKey, f.p.Ordinal, f.p.SeenMs(), f.p.Sequences()}
	}
	return list
}
