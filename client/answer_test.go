package client

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// FuzzParseAnswer: no answer makes the parser panic, and none gives another number of verdicts than events were sent.
func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"accepted":2,"denied":[]}`), 2)
	f.Add([]byte(`{"accepted":1,"denied":[{"index":1,"code":"not_activated"}]}`), 2)
	f.Add([]byte(`{"accepted":0,"denied":[{"index":0,"code":"suspended","scope":"device"},{"index":0,"code":"x"}]}`), 2)
	f.Add([]byte(`{"accepted":-1,"denied":[{"index":-1},{"index":5},{}]}`), 2)
	f.Add([]byte(`{"accepted":1}`), 1)
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
		``, `null`, `{}`, `{"accepted":1}`, `{"accepted":3,"denied":[]}`, `{"accepted":2,"denied":[]} trailing`,
		`{"accepted":1,"denied":[{"code":"suspended"}]}`,
		`{"accepted":1,"denied":[{"index":2,"code":"suspended"}]}`,
		`{"accepted":1,"denied":[{"index":0}]}`,
		`{"accepted":1,"denied":[{"index":0,"code":"accepted"}]}`,
		`{"accepted":0,"denied":[{"index":0,"code":"suspended"},{"index":0,"code":"suspended"}]}`,
		`{"accepted":"2","denied":[]}`,
	} {
		if v, err := parseAnswer([]byte(answer), 2); err == nil {
			t.Errorf("%s was taken for %+v", answer, v)
		}
	}
}

// BenchmarkDo measures the client over real sockets against a server that accepts everything: what it costs, not what
// meterd does.
func BenchmarkDo(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, `{"producer":"bench","last_sequence":null,"oldest_remembered":null}`)
					return
				}
				lines, buf := 0, make([]byte, 64<<10)
				for {
					n, err := r.Body.Read(buf)
					for _, c := range buf[:n] {
						if c == '\n' {
							lines++
						}
					}
					if err != nil {
						break
					}
				}
				fmt.Fprintf(w, `{"accepted":%d,"denied":[]}`, lines)
			}))
			defer srv.Close()
			c, err := New(Options{URL: srv.URL, Producer: "bench"})
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
					if v, err := c.Do(b.Context(), e); err != nil || !v.Accepted {
						b.Errorf("%+v, %v", v, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/float64(c.Stats().Requests), "events/request")
		})
	}
}
