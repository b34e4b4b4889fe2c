package jetlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// Server is what one server of NATS says of itself.
type Server struct {
	Name       string
	Version    string
	JetStream  bool
	SyncAlways bool // it acknowledges what is on its disk
}

// oldestServer is the oldest version whose way of replicating was read and tried.
const oldestServer = "2.15.2"

// AskServers asks all servers what they are. It needs a connection of the system account; want is how many are
// expected: it returns as soon as so many have answered, or with those that did when ctx ends.
func AskServers(ctx context.Context, system *nats.Conn, want int) ([]Server, error) {
	inbox := system.NewInbox()
	sub, err := system.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask the servers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // The connection is closed, then.
	if err := system.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", inbox, nil); err != nil {
		return nil, fmt.Errorf("ask the servers: %w", err)
	}
	var list []Server
	for len(list) < want {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil && len(list) > 0 {
			break
		}
		if err != nil || len(m.Data) == 0 {
			return nil, fmt.Errorf("what servers do with their disks cannot be seen: give credentials of the system "+
				"account: %w", errors.Join(err, errors.New("nobody answers")))
		}
		s, err := decodeServer(m.Data)
		if err != nil {
			return nil, fmt.Errorf("ask the servers: %w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// decodeServer reads a server's answer.
func decodeServer(b []byte) (s Server, err error) {
	var answer struct {
		Server struct {
			Name    string `json:"name"`
			Version string `json:"ver"`
		} `json:"server"`
		Data struct {
			Disabled bool `json:"disabled"`
			Config   struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return s, fmt.Errorf("a server's answer: %w", err)
	}
	return Server{
		Name: answer.Server.Name, Version: answer.Server.Version,
		JetStream: !answer.Data.Disabled, SyncAlways: answer.Data.Config.SyncAlways,
	}, nil
}

// ExamineServers refuses servers that no commit log may be trusted to, with a sentence for each fault. Servers without
// JetStream store nothing and do not count.
func ExamineServers(list []Server, replicas int) error {
	var errs []error
	storing := 0
	for _, s := range list {
		if !s.JetStream {
			continue
		}
		storing++
		if isOlder(s.Version, oldestServer) {
			errs = append(errs, fmt.Errorf("server %q runs NATS %s: meterd needs %s or newer", s.Name, s.Version, oldestServer))
		}
		if !s.SyncAlways {
			errs = append(errs, fmt.Errorf("server %q acknowledges before its disk has the data: "+
				"set jetstream { sync_interval: always } on it and restart it", s.Name))
		}
	}
	if storing < replicas {
		errs = append(errs, fmt.Errorf("%d servers with JetStream answer, %d replicas were asked for: start more servers, "+
			"or ask for fewer replicas", storing, replicas))
	}
	return errors.Join(errs...)
}

// isOlder compares versions like 2.15.2; one that cannot be read is older, a preview is older than its release.
func isOlder(version, than string) bool {
	number, preview, _ := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	a, okA := numbers(number)
	b, okB := numbers(than)
	if !okA || !okB {
		return true
	}
	if c := slices.Compare(a, b); c != 0 {
		return c < 0
	}
	return preview != ""
}

func numbers(version string) (list []int, ok bool) {
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		list = append(list, n)
	}
	return list, len(list) == 3
}
