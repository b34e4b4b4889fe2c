package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/meterd/meterd/event"
)

// fakeStore keeps samples by series and time.
type fakeStore struct {
	mu      sync.Mutex
	samples map[string]map[int64]uint64
	lines   int
	fails   bool
	answer  Answer
	asked   []string
}

var errStore = errors.New("the store is gone")

func (s *fakeStore) write(_ context.Context, body []byte, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return errStore
	}
	for line := range strings.Lines(string(body)) {
		parts := strings.Fields(line)
		value, err := strconv.ParseUint(parts[1], 10, 64)
		if err != nil {
			return err
		}
		at, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			return err
		}
		if s.samples == nil {
			s.samples = map[string]map[int64]uint64{}
		}
		if s.samples[parts[0]] == nil {
			s.samples[parts[0]] = map[int64]uint64{}
		}
		if was, is := s.samples[parts[0]][at]; is && was != value {
			return fmt.Errorf("%s at %d is %d and %d", parts[0], at, was, value)
		}
		s.samples[parts[0]][at] = value
		s.lines++
	}
	return nil
}

func (s *fakeStore) get(_ context.Context, path, query string) (Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return Answer{}, errStore
	}
	s.asked = append(s.asked, path+"?"+query)
	if path == "query" && strings.Contains(query, filledName) {
		last, at := uint64(0), int64(-1)
		for ms, value := range s.samples[filledName] {
			if ms > at {
				last, at = value, ms
			}
		}
		result := ""
		if at >= 0 {
			result = fmt.Sprintf(`{"metric":{},"value":[%d,"%d"]}`, at/1000, last)
		}
		return Answer{Status: 200, Body: []byte(`{"status":"success","data":{"result":[` + result + `]}}`)}, nil
	}
	return s.answer, nil
}

// series returns a series' samples as text, in the order of time: minutes and seconds behind epoch, and value.
func (s *fakeStore) series(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, at := range slices.Sorted(maps.Keys(s.samples[name])) {
		list = append(list, fmt.Sprintf("%.1f:%d", float64(at-epochMs)/60_000, s.samples[name][at]))
	}
	return strings.Join(list, " ")
}

// epochMs is a quarter of an hour, Unix milliseconds.
const epochMs = 1_790_000_100_000

var epoch = uint32(epochMs / quarter.Milliseconds())

// fakeSource has one product that is used as rows say.
type fakeSource struct {
	product Product
	rows    map[uint32]Usage // cumulative, by quarter behind epoch
	nowMs   int64
	err     error
}

func (s *fakeSource) Now() ([]Product, int64, error) { return []Product{s.product}, s.nowMs, s.err }
func (s *fakeSource) Settle() error                  { return s.err }

func (s *fakeSource) Before(_, number uint32) (u Usage, err error) {
	err = s.Quarters(1, 0, func(n uint32, row *Usage) bool {
		if n >= number {
			return false
		}
		u = *row
		return true
	})
	return u, err
}

func (s *fakeSource) Quarters(_, from uint32, fn func(uint32, *Usage) bool) error {
	for _, n := range slices.SortedFunc(maps.Keys(s.rows), cmp.Compare[uint32]) {
		if row := s.rows[n]; epoch+n >= from && !fn(epoch+n, &row) {
			return s.err
		}
	}
	return s.err
}

func denied(n uint64) []Denied {
	return []Denied{{event.Up, event.MessageQuotaExceeded, n}}
}

func newTier(s store) *tier {
	return &tier{
		store: s, name: "fake", keeps: 30 * 24 * 3600e9, answers: 3600e9, run: func() uint64 { return 1 },
		last: map[uint32][]point{}, complained: nil,
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var quiet = slog.New(slog.DiscardHandler)
