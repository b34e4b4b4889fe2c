package duplicates

import "time"

const (
	// KeptFor is how long a key is remembered at most: queues and webhooks give up sending an event again sooner.
	KeptFor = 24 * time.Hour
	// EventsMin is how many keys are remembered at least, if so many are less than KeptFor old. Keys are spread over the
	// shards by their hash; each shard has room for 5 % more than its share, twelve times the standard deviation.
	EventsMin = 4_000_000
	// shards is how many keys can be decided at once. More than lanes on most machines; a collision costs the time of one
	// decision.
	shards = 64
	// shardMax is the room of a shard: 24 bytes a key, and two places of the index, 4 bytes each. 134 MB for all.
	shardMax = 1 << 16
	// shardMin is what a shard begins with: 2 KiB.
	shardMin = 1 << 6
)
