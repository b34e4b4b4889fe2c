package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// Each error that stops ingest is answered 503 with Retry-After and a detail of its own.
func TestProblemsOfTheEngine(t *testing.T) {
	for _, c := range []struct {
		err        error
		code, says string
	}{
		{shard.ErrClockLeap, "clock_leap", "the clock leapt ahead"},
		{shard.ErrDiskFull, "overloaded", "the disk is nearly full"},
		{shard.ErrOutOfMemory, "overloaded", "memory for the device table cannot be had"},
		{shard.ErrOverloaded, "overloaded", "too many requests at once"},
		{shard.ErrLedgerLags, "overloaded", "lags behind"},
		{claims.ErrTooManyInFlight, "overloaded", "64 requests of this producer"},
		{claims.ErrNoRoom, "overloaded", "take all the memory"},
		{claims.ErrUnavailable, "overloaded", "cannot be read now"},
		{claims.ErrNoOrdinal, "overloaded", "room for another producer"},
	} {
		var r fasthttp.Response
		writeProblem(&r, shard.ProblemOf(fmt.Errorf("submit: %w", c.err)))
		body := string(r.Body())
		if r.StatusCode() != 503 || len(r.Header.Peek("Retry-After")) == 0 ||
			!strings.Contains(body, fmt.Sprintf(`"code":%q`, c.code)) || !strings.Contains(body, c.says) {
			t.Errorf("%v: %d %s", c.err, r.StatusCode(), body)
		}
	}
	if p := shard.ProblemOf(shard.ErrStopped); p != nil {
		t.Errorf("an engine that stopped answers %v", p)
	}
}
