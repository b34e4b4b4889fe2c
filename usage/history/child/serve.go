package child

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/prometheus"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/httpserver"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	parser "github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/querytracer"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

// handler answers the paths of VictoriaMetrics that the parent uses, and no other.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("POST /api/v1/import/prometheus", write)
	type query func(*querytracer.Tracer, time.Time, http.ResponseWriter, *http.Request) error
	for path, answer := range map[string]query{
		"query": prometheus.QueryHandler, "query_range": prometheus.QueryRangeHandler,
		"series": prometheus.SeriesHandler, "labels": prometheus.LabelsHandler,
		"label/{label}/values": func(t *querytracer.Tracer, at time.Time, w http.ResponseWriter, r *http.Request) error {
			return prometheus.LabelValuesHandler(t, at, r.PathValue("label"), w, r)
		},
	} {
		mux.HandleFunc("GET /api/v1/"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := answer(nil, time.Now(), w, r); err != nil {
				httpserver.SendPrometheusError(w, r, err)
			}
		})
	}
	return mux
}

var errLine = errors.New("a line is no sample")

// write takes samples, a line each, as Prometheus writes them; all of them or none.
func write(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, importBytesMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	rows, err := parseSamples(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := vmstorage.VMInsertAPI.WriteRows(rows); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if r.URL.Query().Has("flush") {
		vmstorage.DebugFlush() // Series that are new would be shown up to ten seconds later.
	}
	w.WriteHeader(http.StatusNoContent)
}

// parseSamples reads samples as Prometheus writes them; each has a time, Unix milliseconds.
func parseSamples(body []byte) ([]storage.MetricRow, error) {
	var lines parser.Rows
	var bad string
	lines.UnmarshalWithErrLogger(strings.Clone(string(body)), func(text string) { bad = text })
	if bad != "" {
		return nil, fmt.Errorf("%w: %s", errLine, bad)
	}
	rows := make([]storage.MetricRow, len(lines.Rows))
	var labels []prompb.Label
	for i := range lines.Rows {
		line := &lines.Rows[i]
		if line.Timestamp <= 0 {
			return nil, fmt.Errorf("%w: it has no time", errLine)
		}
		labels = append(labels[:0], prompb.Label{Name: "__name__", Value: line.Metric})
		for _, tag := range line.Tags {
			labels = append(labels, prompb.Label{Name: tag.Key, Value: tag.Value})
		}
		rows[i] = storage.MetricRow{
			MetricNameRaw: storage.MarshalMetricNameRaw(nil, labels), Timestamp: line.Timestamp, Value: line.Value,
		}
	}
	return rows, nil
}
