package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// Source asks all servers what they are. Those that answer are returned, also beside an error.
type Source func(context.Context) ([]Server, error)

// System asks through a connection of the system account. It returns as soon as want() servers have answered, or none
// does for a moment.
func System(system *nats.Conn, want func() int) Source {
	return func(ctx context.Context) (list []Server, err error) {
		inbox := system.NewInbox()
		sub, err := system.SubscribeSync(inbox)
		if err == nil {
			defer func() { _ = sub.Unsubscribe() }() // The connection is closed, then.
			err = system.PublishRequest("$SYS.REQ.SERVER.PING.VARZ", inbox, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("ask the servers: %w", err)
		}
		for len(list) < min(want(), serversMax) {
			wait, stop := ctx, context.CancelFunc(func() {})
			if len(list) > 0 {
				wait, stop = context.WithTimeout(ctx, quietMax)
			}
			m, err := sub.NextMsgWithContext(wait)
			stop()
			if err != nil && len(list) > 0 {
				break
			}
			if err != nil || len(m.Data) == 0 {
				return nil, fmt.Errorf("what the servers do with their disks %w (are these credentials of the system account?): %w",
					ErrUnseen, errors.Join(err, errors.New("nobody answers")))
			}
			s, err := decodeServer(m.Data)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
		return list, nil
	}
}

// validMonitor refuses what is no address of a server's monitoring.
func validMonitor(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no address of a server's monitoring, like http://10.0.0.1:8222", address)
	}
	return nil
}

// Monitors asks servers by the addresses of their monitoring, each of one server.
func Monitors(addresses []string) Source {
	return func(ctx context.Context) (list []Server, err error) {
		answers := make([]Server, len(addresses))
		errs := make([]error, len(addresses))
		var wg sync.WaitGroup
		for i, address := range addresses {
			wg.Go(func() { answers[i], errs[i] = monitor(ctx, address) })
		}
		wg.Wait()
		for i := range answers {
			if errs[i] == nil {
				list = append(list, answers[i])
			}
		}
		return list, errors.Join(errs...)
	}
}

func monitor(ctx context.Context, address string) (Server, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/varz", nil)
	if err != nil {
		return Server{}, fmt.Errorf("--nats-monitor %q: %w", address, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return Server{}, fmt.Errorf("--nats-monitor %q: %w", address, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Server{}, fmt.Errorf("--nats-monitor %q answers %s", address, answer.Status)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err != nil {
		return Server{}, fmt.Errorf("--nats-monitor %q: %w", address, err)
	}
	s, err := decodeServer(b)
	if err != nil {
		return Server{}, fmt.Errorf("--nats-monitor %q: %w", address, err)
	}
	return s, nil
}
