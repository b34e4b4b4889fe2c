package bench

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	redigo "github.com/gomodule/redigo/redis"
)

// TestCommandsAreRead: what is sent to Redis is one call of the script a message, by its protocol.
func TestCommandsAreRead(t *testing.T) {
	sha := strings.Repeat("a", 40)
	batch := []message{{device: 42, kind: up}, {device: devicesMax - 1, kind: down}}
	body := newCommands(sha, "20261124").appendBatch(nil, batch)
	here, there := net.Pipe()
	go func() { _, _ = there.Write(append(body, "+end\r\n"...)) }()
	conn := redigo.NewConn(here, 0, 0)
	for _, want := range [][]string{
		{"EVALSHA", sha, "1", "dev-0000042:20261124", "16777216", "16000000"},
		{"EVALSHA", sha, "1", "dev-9999999:20261124", "1", "16000000"},
	} {
		// A command has the form of a reply that is an array.
		if got, err := redigo.Strings(conn.Receive()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if got, err := redigo.String(conn.Receive()); err != nil || got != "end" {
		t.Errorf("more follows: %q, %v", got, err)
	}
	if err := errors.Join(conn.Close(), there.Close()); err != nil {
		t.Error(err)
	}
}

// TestPipelineReadsEachReply, however they are cut into pieces, and takes nothing but positive numbers.
func TestPipelineReadsEachReply(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []string
		ok     bool
	}{
		"at once":       {[]string{":1\r\n:12\r\n:1500\r\n"}, true},
		"in pieces":     {[]string{":", "1\r", "\n:12", "\r\n:1500\r", "\n"}, true},
		"denied":        {[]string{":1\r\n:0\r\n:3\r\n"}, false},
		"an error":      {[]string{":1\r\n-NOSCRIPT\r\n"}, false},
		"one too many":  {[]string{":1\r\n:1\r\n:1\r\n:1\r\n"}, false},
		"one too few":   {[]string{":1\r\n:1\r\n"}, false},
		"not a number":  {[]string{":x\r\n:1\r\n:1\r\n"}, false},
		"an empty line": {[]string{"\r\n:1\r\n:1\r\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, done, at := &pipeline{exchange{events: 3}}, false, ""
			var err error
			for _, piece := range c.pieces {
				if done {
					t.Fatalf("%q was the whole answer, and %q follows", at, piece)
				}
				at += piece
				if done, err = p.receive([]byte(at)); err != nil {
					break
				}
			}
			if (err == nil && done) != c.ok {
				t.Errorf("%v, %v", done, err)
			}
		})
	}
}

// TestSeriesAreLines that VictoriaMetrics reads.
func TestSeriesAreLines(t *testing.T) {
	got := string(newSeries("p").appendBatch(nil, []message{{device: 42, size: 128}, {device: devicesMax - 1, size: 639}}))
	want := "message_bytes{product=\"p\",device=\"dev-0000042\"} 128\nmessage_bytes{product=\"p\"," +
		"device=\"dev-9999999\"} 639\n"
	if got != want {
		t.Errorf("%s", got)
	}
}
