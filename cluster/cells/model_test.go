package cells

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// draw makes what gateways send, of products in all cells and in none.
type draw struct {
	*rapid.T
	prefix   string // of devices and producers, so that histories share nothing but products
	products []string
}

func (d *draw) of(label string, list ...string) string {
	return rapid.SampledFrom(list).Draw(d.T, label)
}

func (d *draw) chance(label string, percent int) bool {
	return rapid.IntRange(0, 99).Draw(d.T, label) < percent
}

// event is one event as its members.
func (d *draw) event() map[string]any {
	kind := d.of("type", "connect", "up", "up", "up", "down", "disconnect", "ota", "ota_void", "none")
	e := map[string]any{
		"type": kind, "product": d.of("product", d.products...), "device": d.prefix + d.of("device", "a", "b", "c"),
	}
	if d.chance("sized", 70) {
		e["size"] = d.of("size", "0", "7", "5242880", "5242881")
		e["size"] = json.Number(e["size"].(string))
	}
	if strings.HasPrefix(kind, "ota") || d.chance("id", 10) {
		e["id"] = d.of("id", "fw-1", "fw-2", "no id")
	}
	if d.chance("topic", 20) {
		e["topic"] = d.of("topic", "t", strings.Repeat("t", 300))
	}
	if d.chance("payload", 20) {
		e["payload"] = d.of("payload", "", "text", `"escaped"`)
	} else if d.chance("bytes", 10) {
		e["payload_base64"] = base64.StdEncoding.EncodeToString([]byte{0, 255, 7})
	}
	if d.chance("time", 20) {
		e["time"] = d.of("when", "2026-11-23T10:00:00Z", "yesterday")
	}
	if d.chance("lacks", 5) {
		delete(e, d.of("member", "type", "product", "device", "size"))
	}
	return e
}

// cloud is an event as a CloudEvent. Its source has the product's name: what is sent twice goes to one product.
func cloud(e map[string]any, id string) map[string]any {
	data := map[string]any{}
	for _, name := range []string{"size", "topic", "payload"} {
		if v, ok := e[name]; ok {
			data[name] = v
		}
	}
	c := map[string]any{
		"specversion": "1.0", "id": id, "source": fmt.Sprint("/", e["product"], e["device"]),
		"subject": fmt.Sprint(e["product"], "/", e["device"]), "type": fmt.Sprint("io.meterd.", e["type"]), "data": data,
	}
	if e["id"] != nil && strings.HasPrefix(fmt.Sprint(e["type"]), "ota") {
		c["id"] = e["id"]
	}
	return c
}

func (d *draw) body(events []map[string]any) (contentType, body string) {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			d.Fatal(err)
		}
		return string(b)
	}
	var clouds []map[string]any
	var lines strings.Builder
	for i, e := range events {
		clouds = append(clouds, cloud(e, d.of("cloud id", "1", "2", fmt.Sprint("x", i))))
		lines.WriteString(encode(e) + "\n")
	}
	switch d.of("format", "ndjson", "array", "single", "cloud", "clouds", "protobuf", "protobuf", "broken") {
	case "array":
		return "application/json", encode(events)
	case "single":
		return "application/json; charset=utf-8", encode(events[0])
	case "cloud":
		return "application/cloudevents+json", encode(clouds[0])
	case "clouds":
		return "application/cloudevents-batch+json", encode(clouds)
	case "protobuf":
		return "application/x-protobuf", protobuf(events)
	case "broken":
		return ndjson, lines.String() + d.of("what", "{", "}", "[1", "\x00")
	}
	return ndjson, lines.String()
}

// protobuf is a meterd.v1.Batch; its fields are numbered in batch.proto.
func protobuf(events []map[string]any) string {
	text := func(v any) string {
		s, _ := v.(string)
		return s
	}
	types := map[string]uint64{"connect": 1, "disconnect": 2, "up": 3, "down": 4, "ota": 5, "ota_void": 6, "none": 9}
	var b []byte
	put := func(field protowire.Number, s string) {
		b = protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
	}
	number := func(field protowire.Number, n uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
	}
	for _, e := range events {
		put(1, text(e["product"]))
		put(2, text(e["device"]))
		number(3, types[text(e["type"])])
		size, _ := e["size"].(json.Number)
		n, _ := size.Int64()
		number(4, uint64(n))
		put(7, text(e["payload"]))
		put(8, text(e["topic"]))
		number(10, protowire.EncodeZigZag(int64(len(text(e["time"])))*1_000_000_000))
		put(11, text(e["id"]))
	}
	return string(b)
}

// encoded is a body under a Content-Encoding.
func (d *draw) encoded(r *request) {
	var b bytes.Buffer
	switch how := d.of("encoding", "", "", "gzip", "zstd", "snappy", "br"); how {
	case "":
		return
	case "gzip":
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(r.body))
		_ = w.Close()
		r.header["Content-Encoding"] = how
	case "zstd":
		w, _ := zstd.NewWriter(&b)
		_, _ = w.Write([]byte(r.body))
		_ = w.Close()
		r.header["Content-Encoding"] = how
	case "snappy":
		w := snappy.NewBufferedWriter(&b)
		_, _ = w.Write([]byte(r.body))
		_ = w.Close()
		r.header["Content-Encoding"] = how
	default:
		r.header["Content-Encoding"] = how
		return
	}
	if d.chance("cut", 5) {
		b.Truncate(b.Len() / 2)
	}
	r.body = b.String()
}

func (d *draw) batch(sequence uint64) *request {
	events := make([]map[string]any, rapid.IntRange(1, 8).Draw(d.T, "events"))
	for i := range events {
		events[i] = d.event()
	}
	contentType, body := d.body(events)
	producer := d.of("producer", "", d.prefix+"gw-1", d.prefix+"gw-2")
	if d.chance("without sequence", 30) {
		sequence = 0
	}
	r := batch(producer, sequence, contentType, body)
	d.encoded(r)
	if d.chance("check", 10) {
		r.path = "/v1/check"
	}
	return r
}

// stock makes products in all cells: with quotas that are soon used up, and one that only observes them.
func (g *rig) stock() []string {
	products := []string{"nobody", "nobody-either"}
	for cell := range rigCells {
		for i, plan := range []string{
			`{"messages_per_day":3,"ota_per_month":2}`, `{"message_unit_bytes":64}`, `{"messages_per_day":2}`,
		} {
			name := fmt.Sprintf("p%d-%d", cell, i)
			g.product(name, cell, plan, 1000)
			products = append(products, name)
			if i != 2 {
				continue
			}
			for _, e := range []*shard.Engine{g.alone, g.cells[cell]} {
				g.administer(e, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
					next, ch, _, err := c.SetEnforcement(by, name, "observe")
					return next, ch, err
				})
			}
		}
	}
	return products
}

// A history of random requests is answered byte for byte as one node answers it, whatever repeats come between.
func TestRandomHistories(t *testing.T) {
	g := newRig(t)
	products := g.stock()
	var history atomic.Uint64
	rapid.Check(t, func(rt *rapid.T) {
		n := history.Add(1)
		d := &draw{T: rt, prefix: fmt.Sprintf("h%d-", n), products: append([]string{fmt.Sprintf("late-%d", n)}, products...)}
		var sent []*request
		for i := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch {
			case len(sent) > 0 && d.chance("again", 30):
				g.compare(rt, sent[rapid.IntRange(0, len(sent)-1).Draw(rt, "which")])
			case i == 5:
				g.product(d.products[0], int(n)%rigCells, `{"messages_per_day":2}`, 10)
			case d.chance("producer", 10):
				r := &request{path: "/v1/producers/" + d.prefix + d.of("name", "gw-1", "gw-2", "gw-3")}
				r.method = d.of("method", "GET", "DELETE")
				if d.chance("offline", 30) {
					r.method, r.path = "POST", r.path+"/offline"
				}
				g.compare(rt, r)
			default:
				r := d.batch(uint64(i + 1))
				g.compare(rt, r)
				sent = append(sent, r)
			}
		}
	})
	if s := &g.engine.stats; history.Load() > 50 && s.noted.Load() == 0 || s.split.Load() == 0 || s.whole.Load() == 0 {
		t.Fatalf("noted %d, split %d, whole %d", s.noted.Load(), s.split.Load(), s.whole.Load())
	}
}

// compare is same within a history.
func (g *rig) compare(rt *rapid.T, r *request) {
	want, got := g.send(g.aloneAt, r), g.send(g.at, r)
	if got != want {
		rt.Fatalf("%s %s %v\n%q\nthe cluster answers\n%+v\none node\n%+v", r.method, r.path, r.header, r.body, got, want)
	}
}
