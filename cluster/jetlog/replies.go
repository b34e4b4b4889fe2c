package jetlog

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// replies receives the answers of reads, over one subscription. One for each read would be told to all servers of the
// cluster and be taken back, for every group that a standby reads, and take half a megabyte for its queue
// (BenchmarkRead).
type replies struct {
	inbox string
	sub   *nats.Subscription

	mu    sync.Mutex // held by the read that waits for its answer
	reads uint64
}

func newReplies(conn *nats.Conn) (*replies, error) {
	r := &replies{inbox: conn.NewInbox() + "."}
	var err error
	if r.sub, err = conn.SubscribeSync(r.inbox + "*"); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return r, r.sub.SetPendingLimits(-1, -1)
}

// begin returns the subject for the answer of the next read. The caller holds mu until it has the answer.
func (r *replies) begin() string {
	r.reads++
	return r.inbox + strconv.FormatUint(r.reads, 10)
}

// next returns the next message for a subject. What comes late for an earlier read is dropped.
func (r *replies) next(ctx context.Context, subject string) (*nats.Msg, error) {
	for {
		m, err := r.sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for an answer: %w", err)
		}
		if m.Subject == subject {
			return m, nil
		}
	}
}

func (r *replies) close() error { return r.sub.Unsubscribe() }
