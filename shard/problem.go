package shard

import (
	"errors"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/claims"
)

// refusals says what a caller is told of the engine's errors. Nothing was counted or changed.
var refusals = map[error]event.Problem{
	claims.ErrTooOld: {
		Code: event.SequenceTooOld, Field: "Meterd-Sequence",
		Detail: "Meterd-Sequence: it lies before what is remembered; ask GET /v1/producers/{producer}",
	},
	claims.ErrReused: {
		Code: event.SequenceReused, Field: "Meterd-Sequence", Detail: "Meterd-Sequence: it was sent with another body",
	},
	claims.ErrTooManyInFlight: {
		Code: event.Overloaded, Detail: "64 requests of this producer wait for their answers already",
	},
	claims.ErrNoRoom: {
		Code: event.Overloaded,
		Detail: "what is remembered of sequences, or long answers that the ledger does not have yet, take all the memory " +
			"there is for them; send it again later",
	},
	claims.ErrUnavailable: {Code: event.Overloaded, Detail: "what was answered cannot be read now; send it again later"},
	claims.ErrNoOrdinal: {
		Code: event.Overloaded, Detail: "room for another producer is being made; send it again",
	},
	ErrTokenRevoked: {
		Code: event.Unauthorized, Detail: "the token was deleted or has expired while the request was on its way",
	},
	ErrClockLeap: {
		Code:   event.ClockLeap,
		Detail: "the clock leapt ahead by more than an hour; set it right, or confirm it with POST /v1/clock/confirm",
	},
	ErrDiskFull: {Code: event.DiskFull, Detail: "the disk is nearly full; free some space"},
	ErrUnsafe: {
		Code:   event.Overloaded,
		Detail: "the cluster cannot store events as it must now; the log of the cell's owner says why",
	},
	ErrOutOfMemory: {
		Code: event.OutOfMemory,
		Detail: "a device connects for the first time, and memory for the device table cannot be had; " +
			"give the daemon more memory; devices that were active before go on",
	},
	ErrOverloaded: {Code: event.Overloaded, Detail: "too many requests at once; send it again"},
	ErrCutTooLong: {
		Code:   event.Overloaded,
		Detail: "reading everything as of one instant took too long for the log to be held; send it again later",
	},
	ErrLedgerLags: {
		Code:   event.Overloaded,
		Detail: "the ledger, which this needs, lags behind or cannot be read; meterd_view_lag_seconds tells; send it again",
	},
}

// ProblemOf returns what to answer to an error of the engine, nil if it is none that a caller may be told. After
// ErrStopped no answer may leave at all.
func ProblemOf(err error) *event.Problem {
	var p *event.Problem
	if errors.As(err, &p) {
		return p
	}
	for known, refusal := range refusals {
		if errors.Is(err, known) {
			return &refusal
		}
	}
	return nil
}
