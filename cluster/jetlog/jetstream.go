package jetlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is a Stream of NATS. The connection is its caller's.
type JetStream struct {
	conn *nats.Conn
	js   jetstream.JetStream
	name string
	sub  *nats.Subscription
	news chan uint64

	fill   atomic.Int64  // bytes of a filling that are still to be sent
	filled atomic.Uint64 // message with which the last one ended

	replies *replies
}

const (
	apiPrefix = "$JS.API."
	// statusHeader is what an answer has that is no message of the stream, sequenceHeader what a message has.
	statusHeader   = "Status"
	sequenceHeader = "Nats-Sequence"
	statusEnd      = "204"
	statusNone     = "404"
	// errorNoMessage is the server's code for a message that it does not have.
	errorNoMessage = 10037
	// errorNoStream is its code for a stream that is not there.
	errorNoStream = 10059
)

// Connect makes a Stream of a stream of NATS that Make made or looked at.
func Connect(conn *nats.Conn, name string) (*JetStream, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	j := &JetStream{conn: conn, js: js, name: name, news: make(chan uint64, 1)}
	j.sub, err = conn.Subscribe(newsOf(name), j.heard)
	if err != nil {
		return nil, fmt.Errorf("hear of new messages of stream %q: %w", name, err)
	}
	if j.replies, err = newReplies(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("hear answers of stream %q: %w", name, err), j.sub.Unsubscribe())
	}
	return j, nil
}

// Close ends the subscriptions.
func (j *JetStream) Close() error { return errors.Join(j.sub.Unsubscribe(), j.replies.close()) }

func subjectOf(name string) string { return "meterd." + name + ".log" }
func newsOf(name string) string    { return "meterd." + name + ".news" }

// News implements Stream.
func (j *JetStream) News() <-chan uint64 { return j.news }

// heard replaces what nobody took yet. Nobody else sends.
func (j *JetStream) heard(m *nats.Msg) {
	seq, _ := strconv.ParseUint(string(m.Data), 10, 64) // 0: the other node says nothing.
	select {
	case <-j.news:
	default:
	}
	j.news <- seq
}

// Publish implements Stream. No id is given: what is stored once and what is not is decided by its place alone.
func (j *JetStream) Publish(ctx context.Context, after uint64, b []byte) error {
	header, filled := j.filling(len(b))
	ack, err := j.js.PublishMsg(ctx, &nats.Msg{Subject: subjectOf(j.name), Data: b, Header: header},
		jetstream.WithExpectLastSequence(after), jetstream.WithExpectStream(j.name), jetstream.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("publish to stream %q behind message %d: %w", j.name, after, err)
	}
	if err := j.check(ack, after+1); err != nil {
		return err
	}
	j.sent(filled, after+1)
	return nil
}

// check compares an acknowledgement with what was asked for: a message that failed while it was applied lets those
// behind it take its place.
func (j *JetStream) check(ack *jetstream.PubAck, seq uint64) error {
	if ack.Stream != j.name || ack.Sequence != seq || ack.Duplicate {
		return fmt.Errorf("stream %q acknowledged message %d, duplicate %t; message %d of stream %q was meant",
			ack.Stream, ack.Sequence, ack.Duplicate, seq, j.name)
	}
	_ = j.conn.Publish(newsOf(j.name), strconv.AppendUint(nil, seq, 10)) // A hint: followers ask without it, too.
	return nil
}

// Read implements Stream. Any replica answers, the nearest one as a rule.
func (j *JetStream) Read(ctx context.Context, from uint64, bytesMax int) ([]Stored, error) {
	j.replies.mu.Lock()
	defer j.replies.mu.Unlock()
	inbox := j.replies.begin()
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, readMessages, bytesMax)
	if err := j.conn.PublishRequest(apiPrefix+"DIRECT.GET."+j.name, inbox, request); err != nil {
		return nil, fmt.Errorf("read stream %q: %w", j.name, err)
	}
	var list []Stored
	for {
		m, err := j.replies.next(ctx, inbox)
		if err != nil && len(list) > 0 {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %q from message %d: %w", j.name, from, err)
		}
		switch status := m.Header.Get(statusHeader); status {
		case "":
		case statusEnd, statusNone:
			return list, nil
		default:
			return list, fmt.Errorf("read stream %q from message %d: status %s %s", j.name, from, status,
				m.Header.Get("Description"))
		}
		seq, err := strconv.ParseUint(m.Header.Get(sequenceHeader), 10, 64)
		if err != nil {
			return list, fmt.Errorf("read stream %q: an answer without a sequence: %w", j.name, err)
		}
		list = append(list, Stored{seq, m.Data})
	}
}

// apiError is the error of an answer of the server.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// Error implements error.
func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// call asks the server that leads the stream.
func (j *JetStream) call(ctx context.Context, verb, request string, answer any) error {
	m, err := j.conn.RequestWithContext(ctx, apiPrefix+verb+"."+j.name, []byte(request))
	if err != nil {
		return fmt.Errorf("ask for stream %q: %w", j.name, err)
	}
	var problem struct {
		Error *apiError `json:"error"`
	}
	if err := errors.Join(json.Unmarshal(m.Data, &problem), json.Unmarshal(m.Data, answer)); err != nil {
		return fmt.Errorf("ask for stream %q: %w", j.name, err)
	}
	switch e := problem.Error; {
	case e == nil:
		return nil
	case e.ErrCode == errorNoMessage:
		return fmt.Errorf("stream %q: %w", j.name, ErrNotThere)
	case e.ErrCode == errorNoStream:
		return fmt.Errorf("stream %q: %w", j.name, ErrGone)
	default:
		return fmt.Errorf("ask for stream %q: %w", j.name, e)
	}
}

// Get implements Stream.
func (j *JetStream) Get(ctx context.Context, seq uint64) (Stored, error) {
	var answer struct {
		Message struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := j.call(ctx, "STREAM.MSG.GET", fmt.Sprintf(`{"seq":%d}`, seq), &answer); err != nil {
		return Stored{}, err
	}
	if answer.Message.Seq != seq {
		return Stored{}, fmt.Errorf("stream %q: message %d was asked for, %d came: %w", j.name, seq, answer.Message.Seq,
			ErrNotThere)
	}
	return Stored{seq, answer.Message.Data}, nil
}
