package servers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Server is what one server of NATS says of itself.
type Server struct {
	Name         string
	Version      string
	JetStream    bool
	SyncAlways   bool // it acknowledges what is on its disk
	PayloadBytes int  // the largest message that it takes; 0: it does not say
}

// Peer is a server that has a replica of a stream.
type Peer struct {
	Name    string
	Offline bool // it was not seen for a time by the others
}

// Oldest is the oldest version whose way of replicating was read and tried.
const Oldest = "2.15.2"

// about is what a server's monitoring says, as VARZ has it.
type about struct {
	Name       string `json:"server_name"`
	Version    string `json:"version"`
	MaxPayload int    `json:"max_payload"`
	JetStream  struct {
		Config *struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	} `json:"jetstream"`
}

// decodeServer reads what a server's monitoring says, as it comes over HTTP, or in the data of an answer of the system
// account.
func decodeServer(b []byte) (Server, error) {
	var answer struct {
		about
		Data  *about `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return Server{}, fmt.Errorf("what a server says of itself: %w", err)
	}
	a := &answer.about
	if answer.Data != nil {
		a = answer.Data
	}
	switch {
	case answer.Error != nil:
		return Server{}, fmt.Errorf("what a server says of itself: %s", answer.Error.Description)
	case a.Name == "" || a.Version == "":
		return Server{}, errors.New("what a server says of itself has no name or no version: is it a server of NATS?")
	}
	s := Server{Name: a.Name, Version: a.Version, PayloadBytes: a.MaxPayload, JetStream: a.JetStream.Config != nil}
	s.SyncAlways = s.JetStream && a.JetStream.Config.SyncAlways
	return s, nil
}

// ErrUnseen says that what a server does with its disk cannot be seen.
var ErrUnseen = errors.New("cannot be seen: give --nats-monitor its monitoring address, or --nats-system-creds")

// ErrWrong says that something was seen to be wrong, and not only was not seen.
var ErrWrong = errors.New("refused")

// wrong is an error that is ErrWrong without saying more.
type wrong struct{ error }

// Is implements what errors.Is asks for.
func (wrong) Is(target error) bool { return target == ErrWrong }

// Unwrap returns the error.
func (w wrong) Unwrap() error { return w.error }

// Wrong marks an error as one of what was seen to be wrong.
func Wrong(err error) error { return wrong{err} }

// Examine refuses servers with a sentence for each fault. Those without JetStream store nothing and do not count.
// Peers are the servers that have replicas, as far as streams have been made.
func Examine(list []Server, peers []Peer, replicas int) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, Wrong(fmt.Errorf(format, args...))) }
	storing := 0
	for _, s := range list {
		if !s.JetStream {
			continue
		}
		storing++
		if isOlder(s.Version, Oldest) {
			fault("server %q runs NATS %s: meterd needs %s or newer", s.Name, s.Version, Oldest)
		}
		if !s.SyncAlways {
			fault("server %q acknowledges before its disk has the data: "+
				"set jetstream { sync_interval: always } on it and restart it", s.Name)
		}
		if s.PayloadBytes != 0 && s.PayloadBytes < PayloadBytesMin {
			fault("server %q takes messages of %d KiB: set max_payload to 1 MiB", s.Name, s.PayloadBytes>>10)
		}
	}
	for _, p := range peers {
		seen := slices.ContainsFunc(list, func(s Server) bool { return s.Name == p.Name })
		if !seen && !p.Offline {
			errs = append(errs, fmt.Errorf("what server %q does with its disk %w", p.Name, ErrUnseen))
		}
	}
	if len(peers) == 0 && storing < replicas {
		errs = append(errs, fmt.Errorf("%d servers with JetStream are seen, %d replicas were asked for: start more servers, "+
			"name all of them in --nats-monitor, or make the cluster with --replicas %d", storing, replicas, max(1, storing)))
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
