package counters

import "errors"

// Options says what a Table cannot choose itself.
type Options struct {
	// Seed keys the hash of names. It must be random, so that nobody can choose names that fill one shard, and the same
	// for the life of a data directory, since ordinals carry the shard. It is not 0.
	Seed uint64
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	if o.Seed == 0 {
		faults = append(faults, errors.New("counters: Seed is 0: draw it at random when the data directory is made"))
	}
	return errors.Join(faults...)
}
