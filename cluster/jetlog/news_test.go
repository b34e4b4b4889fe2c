package jetlog

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// Of what nobody took the newest waits: a standby that has read that message need not read again. Whoever says nothing
// is taken for one who does not know.
func TestNewestNewsWaits(t *testing.T) {
	j := &JetStream{news: make(chan uint64, 1)}
	for _, c := range []struct {
		told []string
		want uint64
	}{{[]string{"41", "42"}, 42}, {[]string{"43", ""}, 0}, {[]string{"44"}, 44}} {
		for _, s := range c.told {
			j.heard(&nats.Msg{Data: []byte(s)})
		}
		if seq := <-j.News(); seq != c.want {
			t.Errorf("told of %q: %d waits, want %d", c.told, seq, c.want)
		}
	}
}
