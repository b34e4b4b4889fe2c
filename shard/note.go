package shard

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/shard/claims"
)

// Note is something that is remembered for a producer and a sequence as an answer is, but that decides no event: to a
// batch that concerns several cells, where its events went. What is noted is kept apart from the answers to the same
// producer and sequence.
type Note struct {
	Token    *access.Token // checked again as it is noted; nil: not at all
	Producer []byte        // is not kept
	Claim    claims.Claim
	// Body is at most NoteBytesMax long. If the sequence has a note, it becomes that one, and Replayed is true.
	Body     []byte
	Replayed bool
}

// errNoteTooLong means that a caller broke the bound.
var errNoteTooLong = errors.New("the note is too long")

// Remember notes n, or finds what was noted for the same sequence, and returns when that is durable. Its errors are
// those of Submit.
func (e *Engine) Remember(n *Note) error {
	if len(n.Body) > NoteBytesMax {
		return errNoteTooLong
	}
	if err := e.refuse(); err != nil {
		return err
	}
	r := Request{Token: n.Token, Account: claims.NotesAccount, Producer: n.Producer, Claim: &n.Claim}
	for range forgottenTriesMax {
		err := e.tryNote(&r, n)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, claims.ErrForgotten):
			return e.proved(err)
		}
	}
	return fmt.Errorf("%w: %w", ErrOverloaded, claims.ErrForgotten)
}

func (e *Engine) tryNote(r *Request, n *Note) error {
	p, err := e.producerOf(r)
	if err != nil {
		return err
	}
	mine, err := r.claim.Begin(p, n.Claim, e.clock.view())
	if err != nil {
		return err
	}
	r.group = nil
	if mine {
		if r.group, err = e.withTurn(room{request: r, bytes: len(n.Body) + rowBytes}, n.note); err != nil {
			r.claim.GiveUp()
			return err
		}
	} else if g := r.claim.Group(); g != nil {
		r.group = g.(*group)
	}
	e.witnessed(r, nil)
	if r.group != nil {
		if err := e.await(r.group); err != nil {
			return err
		}
	}
	if n.Replayed, err = e.settleTicket(&r.claim); err != nil || !n.Replayed {
		return err
	}
	body, err := r.claim.Noted()
	n.Body = append([]byte(nil), body...)
	return err
}

// note records the note inside the gate.
func (n *Note) note(t *turn) error {
	if err := t.mayDecide(); err != nil {
		return err
	}
	t.begin(0)
	return t.r.claim.Note(t.l.records, claims.Decision{
		Group: t.e.gate.open, GroupSeq: t.e.sealedSeq.Load() + 1, AtMs: t.nowMs,
	}, n.Body)
}
