package route

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"

	"github.com/meterd/meterd/license"
)

// WhosePath is where an owner is asked whose tokens are: the SHA-256 of each, one behind the other. Only nodes may.
const WhosePath = "/internal/tokens"

// binding is what an owner says of a token that it has.
type binding struct {
	Account string `json:"account"` // that it is bound to, "" for none
}

// Whose answers what an owner was asked for at WhosePath, of a catalogue that must be durable before it leaves: for
// each token what it has, null for none. ok is false if that was no list of hashes.
func Whose(c *license.Catalogue, nowMs int64, hashes []byte) (answer []byte, ok bool) {
	if len(hashes)%sha256.Size != 0 || len(hashes) > whoseMax*sha256.Size {
		return nil, false
	}
	list := make([]*binding, 0, len(hashes)/sha256.Size)
	for ; len(hashes) > 0; hashes = hashes[sha256.Size:] {
		var it *binding
		if t := c.AuthenticateHash([sha256.Size]byte(hashes), nowMs); t != nil {
			it = &binding{Account: t.Account}
		}
		list = append(list, it)
	}
	answer, err := json.Marshal(list)
	return answer, err == nil
}

// whose asks the owners of all cells about tokens that no copy here has: about all that came meanwhile at once, when
// the question before is answered. So wrong tokens cost the owners no more, however many there are.
type whose struct {
	r *Router

	mu      sync.Mutex
	waiting []*whoseQuestion // guarded by mu
	busy    bool             // guarded by mu: a goroutine asks
}

type whoseQuestion struct {
	hash [sha256.Size]byte
	done chan struct{} // closed with the answer
	cell int           // whose token it is, -1 for nobody's
	is   binding
	err  error
}

// ask returns the cell of a token's account; cell is -1 if there is no such token.
func (w *whose) ask(ctx context.Context, hash [sha256.Size]byte) (cell int, is binding, err error) {
	q := &whoseQuestion{hash: hash, done: make(chan struct{}), cell: -1}
	w.mu.Lock()
	if len(w.waiting) >= whoseMax {
		w.mu.Unlock()
		return -1, is, errors.New("too many tokens are asked for")
	}
	w.waiting = append(w.waiting, q)
	if !w.busy {
		w.busy = true
		go w.run()
	}
	w.mu.Unlock()
	select {
	case <-q.done:
		return q.cell, q.is, q.err
	case <-ctx.Done():
		return -1, is, ctx.Err()
	}
}

func (w *whose) run() {
	for {
		w.mu.Lock()
		list := w.waiting
		w.waiting, w.busy = nil, len(list) > 0
		w.mu.Unlock()
		if len(list) == 0 {
			return
		}
		w.answer(list)
		for _, q := range list {
			close(q.done)
		}
	}
}

// answer asks all cells about a list. A cell that does not answer leaves open whose the tokens are that no other has.
func (w *whose) answer(list []*whoseQuestion) {
	ctx, cancel := context.WithTimeout(context.Background(), w.r.waitMax)
	defer cancel()
	var hashes []byte
	for _, q := range list {
		hashes = append(hashes, q.hash[:]...)
	}
	answers, errs := make([][]*binding, w.r.o.Cells), make([]error, w.r.o.Cells)
	var asked sync.WaitGroup
	for cell := range answers {
		asked.Go(func() {
			var b []byte
			for range triesMax {
				if b, errs[cell] = w.r.Ask(ctx, cell, WhosePath, hashes); errs[cell] == nil {
					break
				}
			}
			if errs[cell] == nil {
				errs[cell] = json.Unmarshal(b, &answers[cell])
			}
			if errs[cell] == nil && len(answers[cell]) != len(list) {
				errs[cell] = errors.New("a cell has answered about other tokens")
			}
		})
	}
	asked.Wait()
	failed := errors.Join(errs...)
	for i, q := range list {
		for cell, of := range answers {
			if errs[cell] == nil && of[i] != nil {
				q.cell, q.is = cell, *of[i]
				break
			}
		}
		if q.cell < 0 {
			q.err = failed
		}
	}
}
