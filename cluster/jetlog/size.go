package jetlog

import (
	"context"
	"fmt"
)

// Size says how much a stream holds, and where.
type Size struct {
	Bytes, BytesMax uint64 // it refuses what would go beyond BytesMax
	First, Last     uint64 // sequences; of a stream without messages, Last is First - 1
	// Whole says that every replica has stored all of it, purges too, as far as its leader knows.
	Whole bool
}

// Size implements Stream.
func (j *JetStream) Size(ctx context.Context) (Size, error) {
	var answer struct {
		Config struct {
			BytesMax int64 `json:"max_bytes"`
		} `json:"config"`
		State struct {
			Bytes    uint64 `json:"bytes"`
			First    uint64 `json:"first_seq"`
			Last     uint64 `json:"last_seq"`
			Messages uint64 `json:"messages"`
		} `json:"state"`
		Cluster struct {
			Replicas []struct {
				Current bool `json:"current"`
				Offline bool `json:"offline"`
			} `json:"replicas"`
		} `json:"cluster"`
	}
	if err := j.call(ctx, "STREAM.INFO", "", &answer); err != nil {
		return Size{}, err
	}
	s := Size{Bytes: answer.State.Bytes, First: answer.State.First, Last: answer.State.Last}
	s.Whole = true
	for _, r := range answer.Cluster.Replicas {
		s.Whole = s.Whole && r.Current && !r.Offline
	}
	s.BytesMax = uint64(max(0, answer.Config.BytesMax))
	if answer.State.Messages == 0 {
		s.First = s.Last + 1
	}
	return s, nil
}

// Purge removes all messages before `before` from the stream. That message itself must stay: it is the place where
// followers find on, and without any message the stream would have forgotten its epoch.
func (j *JetStream) Purge(ctx context.Context, before uint64) error {
	var answer struct {
		Success bool `json:"success"`
	}
	if err := j.call(ctx, "STREAM.PURGE", fmt.Sprintf(`{"seq":%d}`, before), &answer); err != nil {
		return err
	}
	if !answer.Success {
		return fmt.Errorf("purge stream %q before message %d: it was not done", j.name, before)
	}
	return nil
}
