package child

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

func FuzzParseSamples(f *testing.F) {
	f.Add([]byte("meterd_messages_total{account=\"a\",product=\"p\"} 7 1790000000000\n"))
	f.Add([]byte("x 1 1\ny{} NaN 2\n# a comment\n\nz{a=\"\\n\"} 1e9 3"))
	f.Add([]byte("x{a=\"b\" 1 1"))
	f.Add([]byte("x 1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		rows, err := parseSamples(body)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			if rows != nil || !errors.Is(err, errLine) {
				t.Fatal(rows, err)
			}
			return
		}
		var name storage.MetricName
		for i := range rows {
			if rows[i].Timestamp <= 0 {
				t.Fatalf("row %d has no time", i)
			}
			if err := name.UnmarshalRaw(rows[i].MetricNameRaw); err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
		}
	})
}

// What does not read, writes or asks for health is not there, and samples that cannot be read are refused whole.
func TestOnlyKnownPathsAreServed(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/health", "", 200},
		{"GET", "/api/v1/export", "", 404},
		{"GET", "/api/v1/status/tsdb", "", 404},
		{"POST", "/api/v1/admin/tsdb/delete_series", "", 404},
		{"GET", "/internal/resetRollupResultCache", "", 404},
		{"GET", "/flags", "", 404},
		{"GET", "/metrics", "", 404},
		{"GET", "/api/v1/import/prometheus", "", 405},
		{"POST", "/api/v1/import/prometheus", "x 1 1\nno sample\n", 400},
		{"POST", "/api/v1/import/prometheus", "x 1\n", 400},
		{"POST", "/api/v1/import/prometheus", strings.Repeat(" ", importBytesMax+1), 413},
	} {
		w := httptest.NewRecorder()
		handler().ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	err := (&Options{Retention: time.Hour}).Validate()
	for _, fault := range []string{"directory", "socket", "retention", "resolution", "caches", "pipes"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v does not name: %s", err, fault)
		}
	}
}
