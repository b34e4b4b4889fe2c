package claims

import (
	"math"

	"github.com/meterd/meterd/shard/record"
)

// NotesAccount is the account of producers whose sequences remember notes instead of answers. No token is bound to it,
// so no request of a client has to do with them.
const NotesAccount = math.MaxUint32

// Note is Enter and Decide for a sequence that remembers note, and decides no event; d.Result is not looked at. After
// ErrForgotten or ErrNoRoom nothing was recorded. It is called inside the gate.
func (t *Ticket) Note(b *record.Builder, d Decision, note []byte) error {
	if t.p.forgotten.Load() {
		return ErrForgotten
	}
	if err := t.reserve(1 + len(note)); err != nil {
		return err
	}
	t.answer = append(append(t.answer[:0], formNote), note...)
	t.remember(b, d)
	return nil
}

// Noted returns the note that is remembered of the sequence; it is t's until the next call.
func (t *Ticket) Noted() ([]byte, error) {
	if len(t.answer) == 0 || t.answer[0] != formNote {
		return nil, errAnswer
	}
	return t.answer[1:], nil
}
