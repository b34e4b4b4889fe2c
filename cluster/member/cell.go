package member

import (
	"context"

	"github.com/meterd/meterd/cluster/jetlog"
	commitlog "github.com/meterd/meterd/retention/log"
)

// Cell is what a node has of a cell, as its host drives it. It is closed at first, a standby after Open, the owner
// after Own, and closed again after Drop or Close. An error of Open, Follow and Own ends the node.
type Cell interface {
	// Open makes the node's copy a standby, and returns its log, which the host appends to.
	Open(ctx context.Context) (*commitlog.Log, error)
	// Follow is called when the log has grown. It joins what it has gained, and returns when it has.
	Follow(ctx context.Context) error
	// Own makes the standby the owner, and returns when its doors are open. The log may hold groups that Follow was not
	// called for. ctx ends when the node does.
	Own(ctx context.Context, log *jetlog.Log) error
	// Failed is closed when the standby or the owner cannot go on; Err says why.
	Failed() <-chan struct{}
	Err() error
	// Faults gets what is found to be damaged in the copy while it is open, or what has failed for ever in it, although
	// decisions go on. The host has the copy made anew if the error wraps disk.ErrDamaged, and else opened again.
	Faults() <-chan error
	// Address is where the owner's doors are: HOST:PORT.
	Address() string
	// Rest ends the owner's doors and returns when nothing is appended any more and nothing will be: the requests that
	// were in hand are answered, or their connections closed.
	Rest()
	// Drop closes the cell without a word to anybody, and keeps nothing that is not in its log.
	Drop() error
	// Close closes the cell in order: what was decided is stored, and a checkpoint is written.
	Close() error
}
