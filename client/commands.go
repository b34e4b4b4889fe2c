package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/meterd/meterd/event"
)

// CommandKind is what a Command asks for.
type CommandKind uint8

// The kinds of the contract.
const (
	CommandDisconnect CommandKind = iota + 1 // the device is offline: close its connections
	CommandRefresh                           // the product was credited, topped up or changed: forget remembered denials
)

// String returns the wire name, "" for what is none of the contract's.
func (k CommandKind) String() string {
	switch k {
	case CommandDisconnect:
		return "disconnect"
	case CommandRefresh:
		return "refresh"
	}
	return ""
}

// Command is what meterd tells a gateway.
type Command struct {
	Kind CommandKind
	// "" with CommandRefresh stands for every product: the place in the stream was lost, and refreshes with it
	Product string
	Device  string // with CommandDisconnect
	Reason  string // with CommandDisconnect: license_exhausted, renewal_off, suspended; new ones may appear
}

// Commands returns what meterd tells this producer, in order; each call returns the same channel. The first one opens
// the stream, which is opened again, from where it was, whenever it breaks or is silent for Options.HeartbeatTimeout.
// Close closes the channel.
//
// A command was delivered when it was received from the channel, and may come again when the stream breaks just then,
// so it must bear repetition. When meterd refuses the place where the stream broke off, because its data is another's,
// say, what it keeps comes from the beginning, after one refresh of everything. The channel holds nothing: while nobody
// receives, commands wait at meterd, and events go on. A gateway that is slow enough over HTTP is cut off by meterd and
// goes on where it was.
func (c *Client) Commands() <-chan Command {
	c.wanting.Do(func() { close(c.commandsWanted) })
	return c.commands
}

// followCommands is the goroutine behind Commands.
func (c *Client) followCommands() {
	defer close(c.commands)
	select {
	case <-c.commandsWanted:
	case <-c.ctx.Done():
		return
	}
	s := &commandStream{client: c}
	for failures := 0; ; failures++ {
		opened := time.Now()
		progress, err := s.follow(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		if errors.Is(err, errMoved) {
			failures = -1
			continue
		}
		// A stream that told something, or held for a while, says that meterd is well; one that is closed as soon as it was
		// opened does not.
		if progress || time.Since(opened) >= commandPauseMax {
			failures = 0
		}
		c.streamState(err)
		select {
		case <-time.After(c.commandPause(failures, err)):
		case <-c.ctx.Done():
			return
		}
	}
}

// hand waits until cmd is received; false when the stream that it came on ended first: then it comes again.
func (c *Client) hand(cmd Command, ended <-chan struct{}) bool {
	select {
	case c.commands <- cmd:
		c.stats.commands.Add(1)
		return true
	case <-ended:
	case <-c.ctx.Done():
	}
	return false
}

// commandPause is how long the stream stays closed after failures in a row and err. Of several nodes each is tried
// before there is a pause.
func (c *Client) commandPause(failures int, err error) time.Duration {
	n := len(c.nodes.list)
	if (failures+1)%n != 0 {
		return jittered(commandPauseMin)
	}
	return commandPause(failures/n, err)
}

// commandPause is how long the stream stays closed after failures in a row and err. It is jittered, so that gateways do
// not come back together, and never less than meterd asked for.
func commandPause(failures int, err error) time.Duration {
	var p *Problem
	if errors.As(err, &p) && p.RetryAfter > 0 {
		return p.RetryAfter + jittered(p.RetryAfter/4)
	}
	return jittered(min(commandPauseMin<<min(failures, 10), commandPauseMax))
}

// streamState tells the gateway how its stream is.
func (c *Client) streamState(err error) {
	if c.opts.CommandStream != nil {
		c.opts.CommandStream(err)
	}
}

// commandStream is the commands over all streams of a client.
type commandStream struct {
	client *Client
	lastID string // everything up to it was delivered
	lost   bool   // the place was refused, and nothing was delivered since
}

// follow opens the stream and hands its commands over until it breaks. It never returns nil as error; progress says
// that something was delivered.
func (s *commandStream) follow(ctx context.Context) (progress bool, err error) {
	if s.client.opts.Transport == OverStream {
		return s.followStream(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n := s.client.nodes.current()
	defer func() {
		if isNodes(err) {
			s.client.nodes.leave(n)
		}
	}()
	openMax := s.client.opts.HeartbeatTimeout
	if s.client.nodes.several() {
		openMax = min(openMax, tryMax)
	}
	opening := newSilence(openMax, cancel)
	resp, err := s.open(ctx, n)
	opening.end()
	if err != nil {
		return false, reasonOf(ctx, err)
	}
	defer resp.Body.Close()
	watch := newSilence(s.client.opts.HeartbeatTimeout, cancel)
	defer watch.end()
	stats := &s.client.stats
	stats.commandStreams.Add(1)
	s.client.commandsOpen.Add(1)
	defer s.client.commandsOpen.Add(-1)
	s.client.streamState(nil)
	if s.lost {
		if !s.client.hand(Command{Kind: CommandRefresh}, ctx.Done()) {
			return false, context.Cause(ctx)
		}
		s.lost = false
	}
	events := newEventStream(watch.listen(resp.Body), commandLineBytesMax, commandBytesMax)
	for {
		e, err := events.next()
		if err != nil {
			return progress, reasonOf(ctx, fmt.Errorf("stream of commands: %w", err))
		}
		if cmd, ok := parseCommand(e.name, e.data); ok && !e.damaged {
			if !s.client.hand(cmd, ctx.Done()) {
				return progress, context.Cause(ctx)
			}
		} else if e.name != "" || len(e.data) > 0 {
			stats.commandsIgnored.Add(1)
		}
		progress = true
		if e.hasID {
			s.lastID = e.id
		}
	}
}

// followStream is follow on the stream that carries the events, too.
func (s *commandStream) followStream(ctx context.Context) (progress bool, _ error) {
	c := s.client
	opening, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	conn, unavailable := c.stream.get(opening)
	if unavailable != nil {
		return false, unavailable.Err
	}
	c.stats.commandStreams.Add(1)
	c.commandsOpen.Add(1)
	defer c.commandsOpen.Add(-1)
	c.streamState(nil)
	for {
		select {
		case m := <-conn.commands:
			if conn.hasEnded() {
				return progress, conn.err // It comes again: the next stream goes on behind the last one that was delivered.
			}
			if cmd, ok := commandOf(m.Type, m.Product, m.Device, m.Reason); ok {
				if !c.hand(cmd, conn.ended) {
					if ctx.Err() != nil {
						return progress, context.Cause(ctx)
					}
					return progress, conn.err // It comes again.
				}
			} else {
				c.stats.commandsIgnored.Add(1)
			}
			progress = true
			c.stream.heard(m.ID)
			conn.acks <- struct{}{} // There is room: no more commands are sent than acknowledged.
		case <-conn.ended:
			return progress, conn.err
		case <-conn.moved:
			return progress, errMoved
		case <-ctx.Done():
			return progress, context.Cause(ctx)
		}
	}
}

// reasonOf returns why ctx ended, when that is what err comes from.
func reasonOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// open makes the request. A place in the stream that is refused is forgotten: what meterd keeps comes without it too.
func (s *commandStream) open(ctx context.Context, n *node) (*http.Response, error) {
	c := s.client
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.urls[askedCommands], nil)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	if c.opts.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("open the stream of commands: %w", err)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusOK && media == "text/event-stream" {
		return resp, nil
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return nil, fmt.Errorf("open the stream of commands: the answer is %q, not text/event-stream", media)
	case http.StatusBadRequest,
		http.StatusConflict,
		http.StatusGone,
		http.StatusPreconditionFailed,
		http.StatusUnprocessableEntity:
		s.lost = s.lost || s.lastID != ""
		s.lastID = ""
	}
	return nil, fmt.Errorf("open the stream of commands: %w", readProblem(resp))
}

// parseCommand reads an event of the stream; false for what this version does not know and for what names nothing.
// Unknown members are ignored.
func parseCommand(name string, data []byte) (cmd Command, ok bool) {
	var said struct {
		Product string `json:"product"`
		Device  string `json:"device"`
		Reason  string `json:"reason"`
	}
	if json.Unmarshal(data, &said) != nil {
		return Command{}, false
	}
	return commandOf(name, said.Product, said.Device, said.Reason)
}

// commandOf returns a command by its wire name; false as parseCommand.
func commandOf(name, product, device, reason string) (cmd Command, ok bool) {
	switch name {
	case CommandDisconnect.String():
		cmd.Kind = CommandDisconnect
	case CommandRefresh.String():
		cmd.Kind = CommandRefresh
	default:
		return Command{}, false
	}
	if !event.ValidName([]byte(product)) {
		return Command{}, false
	}
	cmd.Product = product
	if cmd.Kind == CommandDisconnect {
		if !event.ValidName([]byte(device)) {
			return Command{}, false
		}
		cmd.Device, cmd.Reason = device, reason
	}
	return cmd, true
}
