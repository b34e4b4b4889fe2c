package client

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// answerOf returns the answer that json stands for.
func answerOf(json string) []byte {
	resp := respond(http.StatusOK, json)
	encodeAnswer(resp)
	body, _ := io.ReadAll(resp.Body) // It is a bytes.Reader.
	return body
}

// FuzzParseAnswer: no answer makes the parser panic, and none gives another number of verdicts than events were sent.
func FuzzParseAnswer(f *testing.F) {
	f.Add(answerOf(`{"accepted":2,"denied":[]}`), 2)
	f.Add(answerOf(`{"accepted":1,"denied":[{"index":1,"code":"not_activated"}]}`), 2)
	f.Add(answerOf(`{"accepted":0,"denied":[{"index":0,"code":"suspended","scope":"device"},{"index":0,"code":"x"}]}`), 2)
	f.Add([]byte{8, 1, 0x12, 0}, 2)
	f.Fuzz(func(t *testing.T, answer []byte, n int) {
		n = n&0xff + 1
		verdicts, err := parseAnswer(answer, n)
		if err != nil {
			return
		}
		if len(verdicts) != n {
			t.Fatalf("%d verdicts for %d events", len(verdicts), n)
		}
		for i, v := range verdicts {
			if v.Accepted != (v.Code == "accepted") || v.Code == "" {
				t.Fatalf("verdict %d: %+v", i, v)
			}
		}
	})
}

func TestParseAnswerIsStrict(t *testing.T) {
	for _, answer := range []string{
		`{}`, `{"accepted":1}`, `{"accepted":3,"denied":[]}`,
		`{"accepted":1,"denied":[{"index":2,"code":"suspended"}]}`,
		`{"accepted":1,"denied":[{"index":0}]}`,
		`{"accepted":1,"denied":[{"index":0,"code":"accepted"}]}`,
		`{"accepted":0,"denied":[{"index":0,"code":"suspended"},{"index":0,"code":"suspended"}]}`,
		`no answer, and no protobuf`,
	} {
		if v, err := parseAnswer(answerOf(answer), 2); err == nil {
			t.Errorf("%s was taken for %+v", answer, v)
		}
	}
	if v, err := (&reply{body: answerOf(`{"accepted":2}`)}).verdicts(2); err == nil {
		t.Errorf("what is not said to be protobuf was taken for %+v", v)
	}
}

// A batch is read as what was written, whatever is in it.
func TestBatchesAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"a", "b", "c", "d-1", strings.Repeat("x", event.NameBytesMax)})
		text := rapid.SampledFrom([]string{"", "a/b", "é", strings.Repeat("t", event.TopicBytesMax)})
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Event {
			e := Event{
				Type:    event.Type(rapid.IntRange(int(event.Connect), int(event.OTAVoid)).Draw(t, "type")),
				Product: name.Draw(t, "product"), Device: name.Draw(t, "device"),
				Topic: text.Draw(t, "topic"), Payload: []byte(text.Draw(t, "payload")),
			}
			if ms := rapid.Int64Range(-1000, 1<<41).Draw(t, "ms"); ms > 0 {
				e.Time = time.UnixMilli(ms)
			}
			if e.Type == event.OTA || e.Type == event.OTAVoid {
				e.ID, e.Topic, e.Payload = name.Draw(t, "id"), "", nil
			}
			if sized(e.Type) {
				e.Size = rapid.Int64Range(1, event.MessageBytesMax).Draw(t, "size")
			} else {
				e.Topic, e.Payload = "", nil
			}
			return e
		}), 1, 40).Draw(t, "events")
		bytesMax := batchOverhead
		var want []line
		for _, e := range events {
			bytesMax += e.encodedMax()
			l := line{
				Type: e.Type.String(), Product: e.Product, Device: e.Device, Topic: e.Topic, ID: e.ID, Payload: string(e.Payload),
			}
			if !e.Time.IsZero() {
				l.TimeMs = e.Time.UnixMilli()
			}
			if sized(e.Type) {
				l.Size = &e.Size
			}
			want = append(want, l)
		}
		body := appendBatch(nil, events)
		got, err := readBatch(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%+v\n%+v", err, got, want)
		}
		if len(body) > bytesMax {
			t.Fatalf("%d bytes, over %d", len(body), bytesMax)
		}
	})
}

// batchOverhead is what all columns of a batch take once: a key and a length each.
const batchOverhead = 11 * 5

// BenchmarkDecide measures the client over real sockets against a server that accepts everything: what it costs, not
// what meterd does.
func BenchmarkDecide(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, `{"producer":"bench","last_sequence":null,"oldest_remembered":null}`)
					return
				}
				body, err := io.ReadAll(r.Body)
				var batch event.Batch
				if p := wire.DecodeProtobuf(&batch, body); err != nil || p != nil {
					b.Errorf("%v, %+v", err, p)
				}
				w.Header().Set("Content-Type", contentType)
				_, _ = w.Write(appendAnswerUint(nil, 1, uint64(len(batch.Events))))
			}))
			defer srv.Close()
			c, err := New(Options{URL: srv.URL, Producer: "bench", Transport: OverHTTP})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close(b.Context())
			var caller atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				e := up(fmt.Sprintf("d%d", caller.Add(1)), 100)
				for pb.Next() {
					if v, err := c.Decide(b.Context(), e); err != nil || !v.Accepted {
						b.Errorf("%+v, %v", v, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/float64(c.Stats().Requests), "events/request")
		})
	}
}
