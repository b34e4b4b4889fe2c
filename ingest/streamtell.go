package ingest

import (
	"time"

	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
)

// tell hands the loop the commands that are new, until the stream is over. It has a goroutine of its own because
// reading commands may wait for the disk. No more come unacknowledged than were promised, and no more are read before
// the loop has sent the last ones. Nothing is told after the token was deleted or has expired: that ends the stream.
func (s *eventStream) tell() {
	var expired <-chan time.Time
	if ms := s.token.ExpiresAtMs; ms != 0 {
		timer := time.NewTimer(time.Duration(ms-s.h.engine.NowMs()+1) * time.Millisecond)
		defer timer.Stop()
		expired = timer.C
	}
	for credit := streamCommandsCredit; s.isAllowed(); {
		list, next, more, err := s.h.engine.Commands(s.place, s.who)
		if err != nil {
			s.stop(&ending{isSilent: true}) // The engine has stopped.
			return
		}
		if len(list) > credit {
			list = list[:credit]
			next = list[credit-1].Place
		}
		if s.place = next; len(list) > 0 {
			more = nil
			credit -= len(list)
			select {
			case s.told <- appendCommands(nil, list):
				s.loop.post(news{stream: s})
			case <-s.over:
				return
			}
		}
		for isExpired := false; !isExpired && (credit == 0 || more != nil); {
			select {
			case <-s.acks:
				credit = min(credit+int(min(s.acked.Swap(0), streamCommandsCredit)), streamCommandsCredit)
			case <-more:
				more = nil
			case <-expired:
				isExpired = true
			case <-s.over:
				return
			}
		}
	}
	s.stop(revoked())
}

// stop has the loop end the stream.
func (s *eventStream) stop(e *ending) {
	s.stopped.Store(e)
	s.loop.post(news{stream: s})
}

func revoked() *ending {
	return &ending{code: websocket.ClosePolicy, reason: "the token was deleted or has expired"}
}

// isAllowed reports whether the stream's token is still valid.
func (s *eventStream) isAllowed() bool {
	return s.h.engine.Catalogue().Honors(s.token, s.h.engine.NowMs())
}

func appendCommands(b []byte, list []shard.Command) []byte {
	var body []byte
	for i := range list {
		c := &list[i]
		m := wire.Command{ID: string(c.Place.AppendText(nil)), Type: wire.CommandRefresh, Product: c.Product}
		if c.Device != "" {
			m.Type, m.Device, m.Reason = wire.CommandDisconnect, c.Device, c.Reason.String()
		}
		body = wire.AppendCommand(body[:0], &m)
		b = appendMessage(b, &wire.Frame{Kind: wire.FrameCommand, Body: body})
	}
	return b
}
