package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// quotaScript decides one message as meterd does: the limit of the day is checked, the message counted by its
// direction, and the answer says how much of the day is used, 0 for a denied message, which is counted too.
//
// Of the ways to write it this one was the fastest: one string a device and day, up and down in one number (2²⁴ and 1 a
// message), so that deciding and counting is a single command. A hash with day, up and down needs two, and took a third
// more of the server's time. The day before goes by its time to live, which is set once a day.
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
	// quotaUp is what a message up adds; one down adds 1.
	quotaUp = 1 << 24
	// quotaLimit is meterd's `no limit`.
	quotaLimit = 16_000_000
)

func quotaKey(device int, day string) string { return deviceName(device) + ":" + day }

// What Redis is measured with. 128 commands a batch is where more gain nothing; with appendfsync always the commands of
// all connections that are ready together share a sync, so it has as many of them as meterd has.
const (
	redisDepth = 128
	mgetKeys   = 1000
)

// redisModes are ways to run it; its other settings are its defaults, but for what only costs time: statistics of
// latencies, slow log, snapshots, and rewrites of the log within a window. I/O threads help it from four cores on, says
// its own configuration.
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

// redis measures Redis with the quota script over as many devices as meterd has, all of which have been seen before.
func redis(ctx context.Context, r *run) error {
	if _, err := installed("redis-server"); err != nil {
		return err
	}
	return r.aside(ctx, func() error {
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
	return r.loadPeer(ctx, "redis", p, j, func(w *wire, s source) speaker { return &pipeline{exchange{wire: w, source: s}} })
}

// verifyRedis compares the counts of every device with what it was sent.
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
