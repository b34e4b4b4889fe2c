package cells

import (
	"errors"
	"sync"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// askAll asks all cells about a producer. changes says that what is asked for may change something: then it is not
// known what was done if only some answer.
func (e *Engine) askAll(from *who, what byte, changes bool, take func(*reader)) error {
	var w writer
	w.who(from)
	w.byte(what)
	for cell := range e.o.Cells {
		if !e.o.Owners.Has(e.ctx, cell) {
			return noOwner()
		}
	}
	until := time.Now().Add(askTimeout)
	answers, errs := make([][]byte, e.o.Cells), make([]error, e.o.Cells)
	var all sync.WaitGroup
	for cell := range e.o.Cells {
		all.Go(func() { answers[cell], errs[cell] = e.ask(cell, callProducer, w.b, changes, until) })
	}
	all.Wait()
	sent, failure := 0, error(nil)
	for cell, answer := range answers {
		if err := errs[cell]; err != nil {
			failure = err
			if !errors.Is(err, ErrNotSent) {
				sent++
			}
			continue
		}
		sent++
		r, problem, err := refusal(answer)
		if err == nil && problem == nil {
			take(r)
			err = r.end()
		}
		switch {
		case err != nil:
			failure = err
		case problem != nil && !mayHelp(problem):
			return problem
		case problem != nil:
			failure = problem
		}
	}
	switch {
	case failure == nil:
		return nil
	case changes && sent > 0:
		return e.hangUp(failure)
	}
	return noOwner()
}

// Offline takes every device offline that the producer holds in any cell.
func (e *Engine) Offline(token *access.Token, producer string) (devices int, err error) {
	from := who{token: token.Name, hash: token.Hash, producer: []byte(producer)}
	err = e.askAll(&from, askOffline, true, func(r *reader) { devices += int(r.uint()) })
	return devices, err
}

// ForgetProducer forgets a producer in all cells.
func (e *Engine) ForgetProducer(token *access.Token, producer string) (found bool, err error) {
	if !event.ValidName([]byte(producer)) {
		return false, nil
	}
	from := who{token: token.Name, hash: token.Hash, producer: []byte(producer)}
	err = e.askAll(&from, askForget, true, func(r *reader) { found = r.bool() || found })
	return found, err
}

// Sequences returns what all cells remember of a producer together.
func (e *Engine) Sequences(account uint32, producer string) (s claims.Sequences, ok bool, err error) {
	switch {
	case account != 0:
		return s, false, shard.ErrStopped
	case !event.ValidName([]byte(producer)):
		return s, false, nil
	}
	err = e.askAll(&who{producer: []byte(producer)}, askShow, false, func(r *reader) {
		ok = r.bool() || ok
		s = together(s, r.sequences())
	})
	return s, ok, err
}
