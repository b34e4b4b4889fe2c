package claims

import (
	"fmt"
	"sync"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// Producers gives every gateway's name an ordinal, which fits a device's word as its holder. All methods are safe for
// concurrent use, but for those of recovery, which nobody else may call beside.
type Producers struct {
	mu        sync.RWMutex
	names     map[uint32]map[string]*Producer // by account
	byOrdinal []*Producer                     // index = ordinal; 0 is none
	long      longAnswers
}

// New returns Producers without any.
func New() *Producers {
	return &Producers{names: map[uint32]map[string]*Producer{}, byOrdinal: []*Producer{nil}}
}

// Producer is a gateway as its requests name it. Its exported fields never change.
type Producer struct {
	Ordinal uint32
	Account uint32 // 0 is the space that unbound tokens share
	Name    string

	all *Producers
	memory
}

// Find returns the producer of a name, nil if there is none. It does not allocate.
func (ps *Producers) Find(account uint32, name []byte) *Producer {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.names[account][string(name)]
}

// Bind returns the producer of a name, and records a new one in b if there is none. It is called inside the gate: who
// finds a producer that another request has just bound is then in the same group as its record, or in a later one. The
// error is an *event.Problem.
func (ps *Producers) Bind(b *record.Builder, account uint32, name []byte) (*Producer, error) {
	if p := ps.Find(account, name); p != nil {
		return p, nil
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.names[account][string(name)]; p != nil {
		return p, nil
	}
	if len(ps.names[account]) >= event.ProducersPerAccountMax || len(ps.byOrdinal) > OrdinalMax {
		return nil, &event.Problem{
			Code:  event.TooManyProducers,
			Field: "Meterd-Producer",
			Detail: fmt.Sprintf("Meterd-Producer: at most %d names an account are remembered; use those that are there",
				event.ProducersPerAccountMax),
		}
	}
	p := ps.set(record.Producer{Ordinal: uint32(len(ps.byOrdinal)), Account: account, Name: name})
	b.BindProducer(record.Producer{Ordinal: p.Ordinal, Account: account, Name: name})
	return p, nil
}

// set binds an ordinal that nobody has. ps.mu is held.
func (ps *Producers) set(r record.Producer) *Producer {
	for int(r.Ordinal) >= len(ps.byOrdinal) {
		ps.byOrdinal = append(ps.byOrdinal, nil)
	}
	p := &Producer{Ordinal: r.Ordinal, Account: r.Account, Name: string(r.Name), all: ps}
	p.changed.L = &p.mu
	ps.byOrdinal[r.Ordinal] = p
	if ps.names[r.Account] == nil {
		ps.names[r.Account] = map[string]*Producer{}
	}
	ps.names[r.Account][p.Name] = p
	return p
}

// ByOrdinal returns a producer, nil if there is none of this ordinal.
func (ps *Producers) ByOrdinal(n uint32) *Producer {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	if int(n) >= len(ps.byOrdinal) {
		return nil
	}
	return ps.byOrdinal[n]
}

// Name returns the name of an ordinal, "" if there is none.
func (ps *Producers) Name(n uint32) string {
	if p := ps.ByOrdinal(n); p != nil {
		return p.Name
	}
	return ""
}

// Each calls fn for every producer, by ordinal, until it fails. What is bound meanwhile may be among them.
func (ps *Producers) Each(fn func(*Producer) error) error {
	ps.mu.RLock()
	n := uint32(len(ps.byOrdinal))
	ps.mu.RUnlock()
	for ordinal := uint32(1); ordinal < n; ordinal++ {
		if p := ps.ByOrdinal(ordinal); p != nil {
			if err := fn(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Restore binds a producer as recovery reads it.
func (ps *Producers) Restore(r record.Producer) error {
	if r.Ordinal == 0 || r.Ordinal > OrdinalMax {
		return fmt.Errorf("producer %q has the ordinal %d", r.Name, r.Ordinal)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if int(r.Ordinal) < len(ps.byOrdinal) {
		if p := ps.byOrdinal[r.Ordinal]; p != nil && p.Account == r.Account && p.Name == string(r.Name) {
			return nil
		}
	}
	ps.set(r)
	return nil
}
