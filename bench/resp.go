package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Hot path: Redis' protocol, as cheap as the batches for meterd. Commands are templates in which only digits change, a
// batch is one write, and of a reply no more is parsed than the check needs.

// commands encodes messages as calls of a script. It is not safe for concurrent use.
type commands struct {
	templates [down + 1]template
}

// newCommands returns an encoder of calls of the script with this hash. Its key is device and day, its arguments are
// the number to add and the limit.
func newCommands(sha, day string) *commands {
	c := &commands{}
	for kind, adds := range map[kind]string{up: strconv.Itoa(quotaUp), down: "1"} {
		text := respCommand("EVALSHA", sha, "1", quotaKey(0, day), adds, strconv.Itoa(quotaLimit))
		c.templates[kind] = template{text: text, device: bytes.Index(text, []byte(devicePrefix)) + len(devicePrefix) - 1}
	}
	return c
}

func (c *commands) appendBatch(dst []byte, batch []message) []byte {
	for _, m := range batch {
		t := &c.templates[m.kind]
		at := len(dst)
		dst = append(dst, t.text...)
		writeDevice(dst[at+t.device:], m.device)
	}
	return dst
}

// respCommand returns a command.
func respCommand(words ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b
}

// pipeline sends batches of commands to Redis.
type pipeline struct{ exchange }

func (c *pipeline) prepare() int {
	c.text, c.events = c.source.fill(c.text[:0])
	return c.events
}

var errReply = errors.New("the reply is no positive number")

// receive looks for a reply to each command: the number of messages of the device, so a number above 0.
func (c *pipeline) receive(in []byte) (isWhole bool, err error) {
	left := c.events
	for {
		end := bytes.IndexByte(in, '\n')
		if end < 0 {
			return left == 0 && len(in) == 0, nil
		}
		if end < 3 || in[0] != ':' || in[1] < '1' || in[1] > '9' || left == 0 {
			return false, fmt.Errorf("%w: %.200q", errReply, in[:end])
		}
		in, left = in[end+1:], left-1
	}
}
