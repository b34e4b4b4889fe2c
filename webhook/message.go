package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/meterd/meterd/license"
)

// message is what a hook is told, as it waits in the queue or lies among the dead letters (FORMAT.md).
type message struct {
	ID       string          `json:"id"` // webhook-id: the same however often it is made or sent
	Event    string          `json:"event"`
	Body     json.RawMessage `json:"body"`
	QueuedMs int64           `json:"queued_ms"`
	// Group is the group of the log that says it, or the next one when it was queued; 0 in rows of an older version.
	Group uint64 `json:"group,omitempty"`
	// Of a dead letter.
	DiedMs int64  `json:"died_ms,omitempty"`
	Tries  uint64 `json:"tries,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (m *message) row() []byte { return mustJSON(m) }

// decodeMessage reads what row wrote.
func decodeMessage(row []byte) (*message, error) {
	m := &message{}
	if err := json.Unmarshal(row, m); err != nil || m.ID == "" || len(m.Body) == 0 {
		return nil, fmt.Errorf("a message of a webhook is damaged: %.80q", row)
	}
	return m, nil
}

// body is what a receiver reads (docs/webhooks.md).
type body struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"` // when it happened
	Data      any    `json:"data"`
}

// newMessage makes a message about something that happened at atMs, Unix milliseconds. What tells it from everything
// else that happens, not when and by whom it was noticed, is in what: so the same happening has the same id again after
// a crash.
func newMessage(e license.HookEvent, atMs int64, data any, what ...any) *message {
	text := []string{e.String()}
	for _, w := range what {
		text = append(text, fmt.Sprint(w))
	}
	sum := sha256.Sum256([]byte(strings.Join(text, "\n"))) // No name holds a line feed.
	return &message{
		ID: "msg_" + hex.EncodeToString(sum[:16]), Event: e.String(), QueuedMs: time.Now().UnixMilli(),
		Body: mustJSON(body{Type: e.String(), Timestamp: rfc3339(atMs), Data: data}),
	}
}

func rfc3339(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: a message cannot be encoded: %v", err))
	}
	return b
}

// What the events tell.
type (
	quotaData struct {
		Account string `json:"account"`
		Product string `json:"product"`
		Device  string `json:"device"`
		Day     string `json:"day"`
		Percent uint8  `json:"percent"`
		Used    uint32 `json:"used"`
		Limit   uint32 `json:"limit"`
	}
	stockData struct {
		Account   string `json:"account"`
		Product   string `json:"product"`
		Total     uint64 `json:"total"`
		Used      uint64 `json:"used"`
		Available uint64 `json:"available"`
		Percent   uint32 `json:"low_percent"`
	}
	dryData struct {
		Account   string `json:"account"`
		Product   string `json:"product"`
		Days      int    `json:"days"`
		RunsDryOn string `json:"runs_dry_on"`
		Available uint64 `json:"available"`
	}
	endingData struct {
		Account   string `json:"account"`
		Product   string `json:"product"`
		Day       string `json:"day"`
		Days      int    `json:"days"`
		Ending    uint64 `json:"ending"`
		Renewing  uint64 `json:"renewing"`
		Available uint64 `json:"available"`
	}
	ingestData struct {
		Reason    string `json:"reason"`
		StoppedAt string `json:"stopped_at"`
	}
)
