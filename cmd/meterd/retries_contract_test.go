package main_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// sequenced sends a body under a sequence of a producer.
func (d *daemon) sequenced(producer, sequence, kind, body string, header ...string) answer {
	d.t.Helper()
	return d.ask(
		"POST",
		"/v1/events",
		body,
		append([]string{"Content-Type", kind, "Meterd-Producer", producer, "Meterd-Sequence", sequence}, header...)...)
}

// fresh fails the test unless an answer is the first one to its sequence, and granted.
func (a answer) fresh(t testing.TB) answer {
	t.Helper()
	if a.status != 200 || a.header.Get("Meterd-Replayed") != "" {
		t.Errorf("%d %s, Meterd-Replayed %q: want a first answer", a.status, a.body, a.header.Get("Meterd-Replayed"))
	}
	return a
}

// replays fails the test unless an answer is first again.
func (a answer) replays(t testing.TB, first answer) {
	t.Helper()
	if a.header.Get("Meterd-Replayed") != "true" || a.signature() != first.signature() {
		t.Errorf("Meterd-Replayed %q\n%s\nwant again\n%s", a.header.Get("Meterd-Replayed"), a.signature(), first.signature())
	}
}

// sequencesDaemon has a product with three active devices, with no licence for a fourth.
func sequencesDaemon(t *testing.T, flags ...string) *daemon {
	d := newDaemon(t, flags...)
	d.withProduct("p1", `{"messages_per_day":1000,"ota_per_month":2}`)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 3)
	d.batch(line("connect", "p1", "d1"), line("connect", "p1", "d2"), line("connect", "p1", "new"))
	return d
}

// TestBadSequences: what is no sequence is refused, changes nothing and makes no producer known.
func TestBadSequences(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	before := d.state("p1")
	for _, bad := range []string{
		" ", "-1", "+1", "1.5", "1e3", "0x10", "1_000", "x", "1 2", "1,2", "18446744073709551616",
		strings.Repeat("9", 400),
	} {
		p := d.sequenced("gw", bad, asJSON, line("up", "p1", "d1")).refuse(t, 400, "invalid_argument")
		if p.Field != "Meterd-Sequence" {
			t.Errorf("%.30q: field %q", bad, p.Field)
		}
	}
	for _, producer := range []string{"", "a b", "a/b", strings.Repeat("x", 65), "é"} {
		p := d.sequenced(producer, "1", asJSON, line("up", "p1", "d1")).refuse(t, 400, "invalid_argument")
		if p.Field != "Meterd-Producer" {
			t.Errorf("producer %q: field %q", producer, p.Field)
		}
	}
	if d.state("p1") != before {
		t.Error("a refused sequence changed something")
	}
	d.ask("GET", "/v1/producers/gw", "").refuse(t, 404, "not_found")
}

// TestEdgesOfSequences: the lowest and the highest number, gaps, and any order; all again after a kill.
func TestEdgesOfSequences(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	first := map[string]answer{}
	send := func(sequence string) answer {
		d.t.Helper()
		producer := "gw"
		if len(sequence) > 10 {
			producer = "high"
		}
		return d.sequenced(producer, sequence, asJSON, line("up", "p1", "d1"))
	}
	sequences := []string{
		"1000",
		"10",
		"500",
		"0",
		"3",
		"18446744073709551615",
		"18446744073709551613",
		"18446744073709551614",
	}
	for _, s := range sequences {
		first[s] = send(s).fresh(t)
	}
	for range 2 {
		for _, s := range sequences {
			send(s).replays(t, first[s])
		}
		d.known(t, "gw", `{"producer":"gw","last_sequence":1000,"oldest_remembered":0}`)
		d.known(
			t,
			"high",
			`{"producer":"high","last_sequence":18446744073709551615,"oldest_remembered":18446744073709551613}`,
		)
		d.kill()
		d.start()
	}
	send("0500").replays(t, first["500"]) // The number counts, not how it is written.
	if v := d.device("p1", "d1"); int(v.Messages.Up) != len(sequences) {
		t.Errorf("%d sequences counted %d messages", len(sequences), v.Messages.Up)
	}
}

// known compares what is known of a producer.
func (d *daemon) known(t testing.TB, producer, want string) {
	t.Helper()
	a := d.ask("GET", "/v1/producers/"+producer, "")
	if a.status != 200 || string(a.body) != want || a.header.Get("Content-Type") != asJSON {
		t.Errorf("%s: %d %s %s, want %s", producer, a.status, a.header.Get("Content-Type"), a.body, want)
	}
}

// TestReplaysOfEachKind: every kind of answer comes again as it was, also when what it was decided by has changed
// since.
func TestReplaysOfEachKind(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	d.topup("p1", "PACK", 1)
	up, ota := line("up", "p1", "d1"), `{"type":"ota","product":"p1","device":"d1","size":11000000,"id":"o1"}`
	type sent struct{ kind, body string }
	bodies := []sent{
		{asJSON, up},
		{asJSON, line("connect", "p1", "d1")},
		{asJSON, line("disconnect", "p1", "d1")},
		{asJSON, line("connect", "p1", "d9")},
		{asJSON, line("up", "p1", "d9")},
		{asJSON, line("up", "nowhere", "d1")},
		{asJSON, line("fly", "p1", "d1")},
		{asJSON, ota},
		{asJSON, ota},
		{asJSON, sized("ota", "p1", "d1", 1)},
		{asJSON, strings.Replace(ota, "11", "12", 1)},
		{asJSON, strings.Replace(ota, "ota", "ota_void", 1)},
		{asJSON, `{"type":"ota_void","product":"p1","device":"d1","id":"o2"}`},
		{asNDJSON, up},
		{asJSON, "[" + up + "]"},
		{asJSON, "[]"},
		{asNDJSON, strings.Join(repeat(1500, up), "\n")},           // Hundreds of denials.
		{asJSON, "[" + strings.Join(repeat(65536, up), ",") + "]"}, // As many as there can be.
		{asNDJSON, strings.Join(repeat(65536, sized("ota", "p1", "d2", 1<<40)), "\n")}, // The largest of them.
		{asJSON, up},
		{
			asNDJSON,
			line("connect", "p1", "d9") + "\n" + up + "\n" + line("fly", "p1", "d1") + "\n" + line("up", "nowhere", "d1"),
		},
	}
	first := make([]answer, len(bodies))
	for i, b := range bodies {
		first[i] = d.sequenced("gw", strconv.Itoa(i), b.kind, b.body)
		if first[i].header.Get("Meterd-Replayed") != "" {
			t.Errorf("%d: a first answer says that it is a replay", i)
		}
	}
	if codes := fmt.Sprint(
		statuses(first),
	); codes != "[200 200 200 403 403 404 400 200 200 429 409 200 409 200 200 200 200 200 200 429 200]" {
		t.Errorf("answered %s", codes)
	}
	// What was denied would be granted now, and what was granted denied.
	d.must("PUT", "/v1/products/p1/plan", `{"messages_per_day":100000,"ota_per_month":9}`, nil)
	d.credit("p1", "PO-2", 5)
	d.must("PUT", "/v1/products/p1/devices/d1/suspended", `{"suspended":true}`, nil)
	d.withProduct("nowhere", `{}`)
	before := d.state("p1")
	for round := range 3 {
		for i, b := range bodies {
			encoding := []string{"", "gzip", "zstd", "snappy"}[(i+round)%4]
			d.sequenced("gw", strconv.Itoa(i), b.kind, string(compress(t, encoding, []byte(b.body))), "Content-Encoding",
				encoding).
				replays(t, first[i])
		}
		if after := d.state("p1"); after != before {
			t.Fatalf("round %d: a replay changed something:\n%s\n%s", round, before, after)
		}
		if round == 0 {
			d.kill()
		} else {
			d.stop() // With a checkpoint.
		}
		d.start()
	}
}

func statuses(list []answer) []int {
	codes := make([]int, len(list))
	for i := range list {
		codes[i] = list[i].status
	}
	return codes
}

// TestSequenceReused: another body under a sequence is refused and leaves the first answer as it is; the same body says
// the same thing however it is labelled.
func TestSequenceReused(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	body := line("up", "p1", "d9") // Denied: it must not look granted when it is asked for in another way.
	batch, single := d.sequenced("gw", "1", asNDJSON, body).fresh(t), d.sequenced("gw", "2", asJSON, body)
	single.refuse(t, 403, "not_activated")
	before := d.state("p1")
	for range 2 {
		for _, other := range []string{body + "\n", line("up", "p1", "d1"), line("down", "p1", "d9"), "[" + body + "]"} {
			for _, sequence := range []string{"1", "2"} {
				a := d.sequenced("gw", sequence, asJSON, other)
				if p := a.refuse(t, 422, "sequence_reused"); p.Field != "Meterd-Sequence" || a.header.Get("Meterd-Replayed") != "" {
					t.Errorf("%s: %+v", a.body, a.header)
				}
			}
		}
		d.sequenced("gw", "1", asNDJSON, body).replays(t, batch)
		d.sequenced("gw", "1", asJSON, body).replays(t, batch)
		d.sequenced("gw", "2", asJSON+"; charset=utf-8", body).replays(t, single)
		d.sequenced("gw", "2", asNDJSON, body).replays(t, single)
		if after := d.state("p1"); after != before {
			t.Errorf("a reused sequence changed something:\n%s\n%s", before, after)
		}
		d.kill()
		d.start()
	}
}

// TestRefusedWholeIsNotRemembered: a request that was refused whole leaves its sequence free for another body.
func TestRefusedWholeIsNotRemembered(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	up := line("up", "p1", "d1")
	for i, c := range []struct {
		body   string
		status int
		header []string
	}{
		{"", 400, nil},
		{"{", 400, nil},
		{up + "\n" + `{"type":`, 400, nil},
		{up, 400, []string{"Content-Encoding", "gzip"}},
		{strings.Join(repeat(eventsMax+1, up), "\n"), 413, nil},
		{up, 415, []string{"Content-Type", "text/plain"}},
		{up, 415, []string{"Content-Encoding", "br"}},
		{up, 401, []string{"Authorization", "Bearer wrong"}},
	} {
		sequence := strconv.Itoa(i)
		for range 2 {
			a := d.sequenced("gw", sequence, asNDJSON, c.body, c.header...)
			if a.problem(t); a.status != c.status || a.header.Get("Meterd-Replayed") != "" {
				t.Errorf("%d: %d %s, want %d", i, a.status, a.body, c.status)
			}
		}
		first := d.sequenced("gw", sequence, asNDJSON, up).fresh(t)
		d.sequenced("gw", sequence, asNDJSON, up).replays(t, first)
		if v := d.device("p1", "d1"); int(v.Messages.Up) != i+1 {
			t.Errorf("%d: %d messages are counted", i, v.Messages.Up)
		}
	}
}

// TestSequenceTooOld: the last 256 sequences are remembered at least, through kills and checkpoints; where memory ends
// the daemon says so, and what lies before is refused, sent or not.
func TestSequenceTooOld(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t, "--checkpoint-every", "50ms")
	const sent = 700 // Every second number.
	first := make([]answer, sent)
	send := func(i int) answer { return d.sequenced("gw", strconv.Itoa(2*i+2), asJSON, line("up", "p1", "d1")) }
	var all sync.WaitGroup
	for from := 0; from < sent; from += inFlightMost { // 64 in flight, in any order: none is refused.
		for i := from; i < min(from+inFlightMost, sent); i++ {
			all.Go(func() { first[i] = send(i).fresh(t) })
		}
		all.Wait()
	}
	for round := range 4 {
		for i := sent - 256; i < sent; i++ {
			send(i).replays(t, first[i])
		}
		var v producerView
		d.must("GET", "/v1/producers/gw", "", &v)
		if v.Last == nil || *v.Last != 2*sent || v.Oldest == nil || *v.Oldest > 2*(sent-255) || *v.Oldest < 4 {
			t.Fatalf("round %d: %s", round, v)
		}
		oldest := int(*v.Oldest/2) - 1
		send(oldest).replays(t, first[oldest])
		for _, old := range []uint64{*v.Oldest - 2, *v.Oldest - 1, 2, 1, 0} {
			d.sequenced("gw", strconv.FormatUint(old, 10), asJSON, line("up", "p1", "d1")).refuse(t, 409, "sequence_too_old")
		}
		if round%2 == 0 {
			d.kill()
		} else {
			d.stop()
		}
		d.start()
	}
	if v := d.device("p1", "d1"); v.Messages.Up != sent {
		t.Errorf("%d sequences counted %d messages", sent, v.Messages.Up)
	}
}

// TestConcurrentDoublesOverHTTP: of copies of one request that arrive at once one is decided, and all get its answer.
func TestConcurrentDoublesOverHTTP(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	body := strings.Join([]string{line("up", "p1", "d1"), line("up", "p1", "d9"), line("down", "p1", "d1")}, "\n")
	const rounds, copies = 20, 64
	for round := range rounds {
		answers := make([]answer, copies)
		var all sync.WaitGroup
		for i := range answers {
			encoding := []string{"", "gzip"}[i%2]
			all.Go(func() {
				packed := string(compress(t, encoding, []byte(body)))
				answers[i] = d.sequenced("gw", strconv.Itoa(round), asNDJSON, packed, "Content-Encoding", encoding)
			})
		}
		all.Wait()
		decided := 0
		for _, a := range answers {
			if a.status != http.StatusOK || a.signature() != answers[0].signature() {
				t.Fatalf("round %d:\n%s\n%s", round, a.signature(), answers[0].signature())
			}
			if a.header.Get("Meterd-Replayed") == "" {
				decided++
			}
		}
		if decided != 1 {
			t.Errorf("round %d: %d copies say that they are no replay", round, decided)
		}
	}
	if v := d.device("p1", "d1"); v.Messages.Up != rounds || v.Messages.Down != rounds {
		t.Errorf("%d rounds counted %+v", rounds, v.Messages)
	}
}
