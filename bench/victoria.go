package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// series encodes messages as samples in Prometheus' text format: one series a device, with the size as value. It is not
// safe for concurrent use.
type series struct {
	template template
}

func newSeries(product string) *series {
	s := &series{}
	text := []byte(`message_bytes{product="` + product + `",device="` + devicePrefix)
	s.template.device = len(text) - 1
	text = append(text, make([]byte, deviceDigits)...)
	text = append(text, `"} `...)
	s.template.size = len(text)
	s.template.text = append(text, "000\n"...)
	return s
}

func (s *series) appendBatch(dst []byte, batch []message) []byte {
	for _, m := range batch {
		at := len(dst)
		dst = append(dst, s.template.text...)
		writeDevice(dst[at+s.template.device:], m.device)
		writeSize(dst[at+s.template.size:], m.size)
	}
	return dst
}

// importer sends samples to VictoriaMetrics.
type importer struct{ poster }

func (v *importer) receive(in []byte) (bool, error) {
	r, isWhole, err := wholeResponse(in)
	if err == nil && isWhole && r.status != http.StatusNoContent {
		err = fmt.Errorf("the import was refused: %d %.400q", r.status, r.body)
	}
	return isWhole, err
}

// victoria measures VictoriaMetrics' import of text, in batches like meterd's. All series exist before, since the first
// sample of a series costs many times as much as the next ones. It answers before anything is on disk and syncs every
// few seconds; no setting makes it durable. Lines have no time stamps: they are shorter and faster to read, and it
// takes its own time.
func victoria(ctx context.Context, r *run) error {
	if _, err := installed("victoria-metrics"); err != nil {
		return err
	}
	return r.withoutDaemon(ctx, func() error {
		p, err := r.startPeer(ctx, "victoria-metrics", "started VictoriaMetrics in", func(port int, folder string) []string {
			return []string{
				fmt.Sprintf("-httpListenAddr=127.0.0.1:%d", port),
				"-storageDataPath=" + folder + "/data",
				"-retentionPeriod=1",
			}
		})
		if err != nil {
			return err
		}
		return p.end(r.victoriaCase(ctx, p))
	})
}

func (r *run) victoriaCase(ctx context.Context, p *peer) error {
	encode := func(draws) encoder { return newSeries(r.o.Product) }
	c := Case{Format: "prometheus", Batch: headlineBatch, Connections: headlineConnections}
	first, err := r.victoriaLoad(ctx, p, &job{what: "victoria fill", c: c, sources: roundOf(r.o.Devices, c, up, encode)})
	if err != nil {
		return err
	}
	sources, _ := r.target.sources(r.o.Devices, c, encode)
	result, err := r.victoriaLoad(ctx, p, &job{
		what: "victoria " + c.String(), c: c, sources: sources, warmup: r.o.Warmup, duration: r.o.peerWindow(),
	})
	if err != nil {
		return err
	}
	check := &Check{}
	for _, n := range append(first.each, result.each...) {
		check.Sent += n
	}
	if check.Accepted, err = victoriaRows(ctx, p.address); err != nil {
		return err
	}
	if check.Accepted != check.Sent {
		return fmt.Errorf("check: %d samples were sent and answered, VictoriaMetrics says %d rows",
			check.Sent, check.Accepted)
	}
	result.Check = check
	r.add(&result.Result)
	return nil
}

func (r *run) victoriaLoad(ctx context.Context, p *peer, j *job) (*peerResult, error) {
	return r.loadPeer(ctx, "victoria", p, j, func(w *wire, s source) session {
		post := newPost("/api/v1/import/prometheus", p.address, "", "text/plain", "")
		return &importer{poster{exchange: exchange{wire: w, source: s}, post: post}}
	})
}

// victoriaRows returns how many rows VictoriaMetrics says that it imported.
func victoriaRows(ctx context.Context, address string) (rows uint64, err error) {
	a, err := newAdmin(address, "")
	if err != nil {
		return 0, err
	}
	for line, err := range a.Text(ctx, "/metrics") {
		if err != nil {
			return 0, err
		}
		if text, ok := strings.CutPrefix(line, `vm_rows_inserted_total{type="prometheus"} `); ok {
			return strconv.ParseUint(text, 10, 64)
		}
	}
	return 0, errors.New("VictoriaMetrics does not say how many rows it imported")
}
