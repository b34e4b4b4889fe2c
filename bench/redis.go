package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// quotaScript decides one message as meterd does. It checks the limit of the day, counts the message by its direction,
// and returns how much of the day is used. It returns 0 for a denied message, which is counted too.
//
// This is the fastest of the ways that were tried: one string for each device and day, with up and down in one number
// (2²⁴ and 1 a message), so that one command decides and counts. A hash with day, up and down needs two commands and
// took a third more of the server's time. The key has a time to live, which is set once a day.
const quotaScript = `local v = redis.call('INCRBY', KEYS[1], ARGV[1])
local used = v % 16777216 + math.floor(v / 16777216)
if used > tonumber(ARGV[2]) then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  redis.call('INCR', KEYS[1] .. ':denied')
  return 0
end
if used == 1 then redis.call('EXPIRE', KEYS[1], 172800) end
return used`

const (
	// quotaUp is what a message up adds; a message down adds 1.
	quotaUp = 1 << 24
	// quotaLimit is the limit that meterd has without one (R10).
	quotaLimit = 16_000_000
)

func quotaKey(device int, day string) string { return deviceName(device) + ":" + day }

// More than 128 commands a batch gain nothing. With appendfsync always all commands that are ready together share one
// fsync, so Redis gets as many connections as meterd.
const (
	redisDepth = 128
	mgetKeys   = 1000
)

// redisModes are the ways to run Redis. Whatever only costs time is switched off: latency statistics, slow log,
// snapshots and rewrites of the log. Other settings have their defaults; its documentation recommends I/O threads from
// four cores on.
var redisModes = []struct {
	name string
	args []string
}{
	{"volatile", []string{"--appendonly", "no"}},
	{
		"appendfsync=always",
		[]string{"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"},
	},
}

// redis measures Redis with the quota script. It has as many devices as meterd, and each has sent a message before.
func redis(ctx context.Context, r *run) error {
	if _, err := installed("redis-server"); err != nil {
		return err
	}
	return r.withoutDaemon(ctx, func() error {
		for _, mode := range redisModes {
			if err := r.redisMode(ctx, mode.name, mode.args); err != nil {
				return fmt.Errorf("%s: %w", mode.name, err)
			}
		}
		return nil
	})
}

func (r *run) redisMode(ctx context.Context, mode string, flags []string) error {
	p, err := r.startPeer(ctx, "redis-server", "Ready to accept connections", func(port int, folder string) []string {
		return append([]string{
			"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", folder, "--save", "", "--latency-tracking", "no",
			"--slowlog-log-slower-than", "-1",
		}, flags...)
	})
	if err != nil {
		return err
	}
	return p.end(r.redisCases(ctx, mode, p))
}

func (r *run) redisCases(ctx context.Context, mode string, p *peer) (err error) {
	conn, err := redigo.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return fmt.Errorf("connect to redis: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	sha, err := redigo.String(conn.Do("SCRIPT", "LOAD", quotaScript))
	if err != nil {
		return fmt.Errorf("load the script: %w", err)
	}
	day := time.Now().UTC().Format("20060102")
	encode := func(draws) encoder { return newCommands(sha, day) }

	pipelined := Case{Format: "resp", Batch: redisDepth, Connections: headlineConnections}
	fill := &job{what: "redis fill", c: pipelined, sources: roundOf(r.o.Devices, pipelined, up, encode)}
	if _, err := r.redisLoad(ctx, p, fill); err != nil {
		return err
	}
	sent := newTally(r.o.Devices)
	for device := range sent.up {
		sent.up[device]++
	}
	cases := []Case{pipelined}
	for _, connections := range singleConnections {
		cases = append(cases, Case{Format: "resp", Batch: 1, Connections: connections})
	}
	for _, c := range cases {
		sources, begins := r.target.sources(r.o.Devices, c, encode)
		result, err := r.redisLoad(ctx, p, &job{
			what: fmt.Sprintf("redis %s %s", mode, c), c: c, sources: sources, warmup: r.o.Warmup, duration: r.o.peerWindow(),
		})
		if err != nil {
			return err
		}
		for i, n := range result.each {
			sent.add(begins[i], n)
		}
		if result.Check, err = verifyRedis(conn, sent, day); err != nil {
			return err
		}
		result.Variant = mode
		r.add(&result.Result)
	}
	return nil
}

func (r *run) redisLoad(ctx context.Context, p *peer, j *job) (*peerResult, error) {
	return r.loadPeer(ctx, "redis", p, j, func(w *wire, s source) session {
		return &pipeline{exchange{wire: w, source: s}}
	})
}

// verifyRedis compares the counts of every device with the messages that it was sent.
func verifyRedis(conn redigo.Conn, sent tally, day string) (*Check, error) {
	check := &Check{}
	for from := 0; from < len(sent.up); from += mgetKeys {
		to := min(from+mgetKeys, len(sent.up))
		keys := redigo.Args{}
		for device := from; device < to; device++ {
			keys = keys.Add(quotaKey(device, day))
		}
		values, err := redigo.Uint64s(conn.Do("MGET", keys...))
		if err != nil {
			return nil, fmt.Errorf("check: %w", err)
		}
		for i, value := range values {
			up, down := sent.of(from + i)
			if want := up*quotaUp + down; value != want {
				return nil, fmt.Errorf("check: device %s was sent %d up and %d down; redis has %d, not %d",
					deviceName(from+i), up, down, value, want)
			}
			check.Sent += up + down
			check.DevicesCompared++
		}
	}
	check.Accepted = check.Sent
	return check, nil
}
