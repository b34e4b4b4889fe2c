package webhook

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/webhook/send"
)

// The states of a hook.
const (
	StateOK      = "ok"      // the last try succeeded, or nothing was tried
	StateFailing = "failing" // the last try failed; it is tried again
	StateGone    = "gone"    // its receiver has answered 410: nothing is sent until the hook is set again
)

// Status is how the deliveries of a hook stand. Times are Unix milliseconds, 0 where there is none.
type Status struct {
	State           string
	Queued          int
	OldestQueuedMs  int64
	DeadLetters     int
	Delivered       uint64
	FailedTries     uint64
	Dropped         uint64 // messages that found the queue full
	LastDeliveredMs int64
	LastTriedMs     int64
	LastError       string // "" after a success
	NextTryMs       int64
}

// Status returns how the deliveries of a hook stand.
func (s *Service) Status(h *license.Hook) Status {
	l := s.queue.look(h.ID)
	st := Status{
		State: StateOK, Queued: l.waiting, OldestQueuedMs: l.oldestMs, DeadLetters: l.dead,
		Delivered: l.state.Delivered, FailedTries: l.state.Failed, Dropped: l.state.Dropped,
		LastDeliveredMs: l.state.DeliveredMs, LastTriedMs: l.state.TriedMs, LastError: l.state.Error,
	}
	switch {
	case l.state.GoneAtChangeMs == h.ChangedAtMs:
		st.State = StateGone
	case l.state.FailingSinceMs != 0:
		st.State = StateFailing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.couriers[h.ID]; c != nil && l.waiting > 0 && st.State == StateFailing {
		st.NextTryMs = c.nextMs.Load()
	}
	return st
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Number           uint64 // rises in the order of the queue
	ID               string
	Event            string
	QueuedMs, DiedMs int64 // Unix milliseconds
	Tries            uint64
	Error            string
	Body             json.RawMessage
}

// DeadLetters returns the dead letters of a hook behind the one with a number, 0 for all, oldest first, at most n.
func (s *Service) DeadLetters(h *license.Hook, after uint64, n int) ([]DeadLetter, error) {
	list, err := s.queue.deadLetters(h.ID, after, n)
	if err != nil {
		return nil, err
	}
	letters := make([]DeadLetter, len(list))
	for i, m := range list {
		letters[i] = DeadLetter{
			Number: m.number, ID: m.ID, Event: m.Event, QueuedMs: m.QueuedMs, DiedMs: m.DiedMs, Tries: m.Tries,
			Error: m.Error, Body: m.Body,
		}
	}
	return letters, nil
}

// MayRetry returns what Retry would refuse now.
func (s *Service) MayRetry(h *license.Hook, id string) error {
	_, err := s.queue.letter(h.ID, id)
	return retryProblem(id, err)
}

// Retry queues a dead letter again, behind what waits, for another three days. A letter that is not there is a
// *event.Problem, and so is a queue that is full.
func (s *Service) Retry(h *license.Hook, id string) error {
	err := s.queue.again(h.ID, id)
	if err == nil {
		s.TryNow(h)
	}
	return retryProblem(id, err)
}

func retryProblem(id string, err error) error {
	switch {
	case errors.Is(err, errQueueFull):
		return &event.Problem{Code: event.Overloaded, Detail: err.Error() + "; send it again later"}
	case errors.Is(err, errNoLetter):
		return &event.Problem{
			Code: event.NotFound, Field: "dead_letter", Detail: "dead_letter: there is none called " + id,
		}
	}
	return err
}

// TryNow has what waits for a hook tried at once, also when its receiver has said that it wants nothing more.
func (s *Service) TryNow(h *license.Hook) {
	err := s.queue.setState(h.ID, func(s *state) { s.GoneAtChangeMs = 0 })
	if err != nil {
		s.logger.Error("the state of a webhook cannot be written", "webhook", h.Name, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.couriers[h.ID]; c != nil {
		signal(c.changed)
	}
}

// CheckURL refuses what is no URL that a hook may have.
func (s *Service) CheckURL(url string) error { return send.CheckURL(url, s.allow) }

// RegisterMetrics adds what deliveries do to set.
func (s *Service) RegisterMetrics(set *metric.Set) {
	counter := func(name, help string, f func() float64) { set.Counters(name, help).Func(f) }
	counter("meterd_webhook_delivered_total", "Messages that receivers of webhooks have taken since the start.",
		func() float64 { return float64(s.counts.delivered.Load()) })
	counter("meterd_webhook_failed_total", "Tries to deliver a message of a webhook that failed since the start.",
		func() float64 { return float64(s.counts.failed.Load()) })
	counter("meterd_webhook_dead_total", "Messages of webhooks that were given up since the start.",
		func() float64 { return float64(s.counts.dead.Load()) })
	gauge := func(name, help string, f func(*line) float64) {
		set.Gauges(name, help).Func(func() float64 { return s.over(f) })
	}
	gauge("meterd_webhook_queued", "Messages of webhooks that wait to be delivered.",
		func(l *line) float64 { return float64(l.waiting) })
	gauge("meterd_webhook_queued_bytes", "Bytes of the messages of webhooks that wait to be delivered.",
		func(l *line) float64 { return float64(l.bytes) })
	gauge("meterd_webhook_dead_letters", "Messages of webhooks that were given up and are kept.",
		func(l *line) float64 { return float64(l.dead) })
	gauge("meterd_webhook_dropped", "Messages that found the queue of their webhook full, or the disk short of space.",
		func(l *line) float64 { return float64(l.state.Dropped) })
	set.Gauges("meterd_webhook_queue_age_seconds", "Age of the oldest message that waits for a webhook.").Func(s.queueAge)
}

// over sums up something over the queues of all hooks.
func (s *Service) over(f func(*line) float64) (sum float64) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	for _, l := range s.queue.lines {
		sum += f(l)
	}
	return sum
}

func (s *Service) queueAge() float64 {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	oldest := int64(0)
	for _, l := range s.queue.lines {
		if l.oldestMs != 0 && (oldest == 0 || l.oldestMs < oldest) {
			oldest = l.oldestMs
		}
	}
	if oldest == 0 {
		return 0
	}
	return time.Since(time.UnixMilli(oldest)).Seconds()
}
