package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metricsql"
)

// Errors of Query. What is wrong with a query itself is an Answer with status 400.
var (
	// ErrNoStore means that the store does not answer.
	ErrNoStore = errors.New("the usage history does not answer; enforcement goes on")
	// ErrBusy means that too many queries wait.
	ErrBusy = errors.New("too many queries of the usage history run")
)

// Query is one request of a client.
type Query struct {
	// Path is query, query_range, series, labels or values; Label goes with values.
	Path, Label string
	// Form holds the client's parameters, of its URL and its body. Only those that are known are looked at.
	Form url.Values
	// Account is the only one that the answer may speak of; "": all.
	Account string
}

// Query answers a query. It is safe for concurrent use.
func (h *History) Query(ctx context.Context, q Query) (Answer, error) {
	values, oldestMs, err := h.compose(q)
	if err != nil {
		return badQuery(err), nil
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, q.within())
	defer cancel()
	path := q.Path
	if path == "values" {
		path = "label/" + url.PathEscape(q.Label) + "/values"
	}
	answer, err := h.tierFor(oldestMs).get(ctx, path, values.Encode())
	switch {
	case errors.Is(err, errTooLarge):
		return badQuery(err), nil
	case err != nil:
		h.unanswered.Add(1)
		return Answer{}, fmt.Errorf("%w: %w", ErrNoStore, err)
	}
	switch answer.Status {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
		answer.ContentType = "application/json"
		h.answered.Add(1)
		return answer, nil
	}
	h.unanswered.Add(1)
	return Answer{}, fmt.Errorf("%w: status %d", ErrNoStore, answer.Status)
}

// within returns how long an answer is waited for: as long as the client allows, within our own bound.
func (q *Query) within() time.Duration {
	ms, err := parseDuration(q.Form.Get("timeout"))
	if err != nil || ms >= answerWithin.Milliseconds() {
		return answerWithin
	}
	return min(answerWithin, time.Duration(ms)*time.Millisecond+answerMargin)
}

// enter takes a place for a query, and waits a little for one.
func (h *History) enter(ctx context.Context) (leave func(), err error) {
	if h.waiting.Add(1) > queriesWaitingMax {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	timer := time.NewTimer(waitFor)
	defer timer.Stop()
	select {
	case h.places <- struct{}{}:
		return func() { <-h.places }, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tierFor returns the store whose samples reach back to a time, the finest one.
func (h *History) tierFor(oldestMs int64) *tier {
	for _, t := range h.tiers {
		if oldestMs >= h.o.NowMs()-t.answers.Milliseconds() {
			return t
		}
	}
	return h.tiers[len(h.tiers)-1]
}

// compose makes the parameters that a store is asked with, of nothing but what it understands, and says how far the
// query looks back, Unix milliseconds.
func (h *History) compose(q Query) (values url.Values, oldestMs int64, err error) {
	s := scope{q.Account}
	values = url.Values{"extra_filters[]": {s.selector()}}
	switch q.Path {
	case "query":
		oldestMs, err = h.composeInstant(s, q.Form, values)
	case "query_range":
		oldestMs, err = h.composeRange(s, q.Form, values)
	case "series", "labels", "values":
		oldestMs, err = h.composeMetadata(s, q, values)
	default:
		err = fmt.Errorf("%q is no path of the history", q.Path)
	}
	if err != nil {
		return nil, 0, err
	}
	if text := q.Form.Get("timeout"); text != "" {
		ms, err := parseDuration(text)
		if err != nil {
			return nil, 0, fmt.Errorf("timeout: %w", err)
		}
		values.Set("timeout", seconds(ms))
	}
	return values, oldestMs, nil
}

func (h *History) composeInstant(s scope, form, values url.Values) (oldestMs int64, err error) {
	atMs, err := parseTime(form, "time", h.o.NowMs())
	if err != nil {
		return 0, err
	}
	stepMs := refreshEvery.Milliseconds()
	if text := form.Get("step"); text != "" {
		if stepMs, err = parseDuration(text); err != nil {
			return 0, fmt.Errorf("step: %w", err)
		}
		values.Set("step", seconds(stepMs))
	}
	values.Set("time", seconds(atMs))
	return s.composeQuery(form, values, atMs, stepMs)
}

func (h *History) composeRange(s scope, form, values url.Values) (oldestMs int64, err error) {
	fromMs, err := parseTime(form, "start", math.MinInt64)
	if err != nil {
		return 0, err
	}
	toMs, err := parseTime(form, "end", math.MinInt64)
	if err != nil {
		return 0, err
	}
	stepMs, err := parseDuration(form.Get("step"))
	switch {
	case err != nil:
		return 0, fmt.Errorf("step: %w", err)
	case fromMs == math.MinInt64 || toMs == math.MinInt64:
		return 0, errors.New("start and end are needed")
	case toMs < fromMs:
		return 0, errors.New("end must not lie before start")
	case (toMs-fromMs)/stepMs >= pointsMax:
		return 0, fmt.Errorf("that is more than %d points a series: make the step longer", pointsMax)
	}
	values.Set("start", seconds(fromMs))
	values.Set("end", seconds(toMs))
	values.Set("step", seconds(stepMs))
	return s.composeQuery(form, values, fromMs, stepMs)
}

func (s scope) composeQuery(form, values url.Values, fromMs, stepMs int64) (oldestMs int64, err error) {
	e, err := s.confine(form.Get("query"))
	if err != nil {
		return 0, fmt.Errorf("query: %w", err)
	}
	values.Set("query", string(e.AppendString(nil)))
	back, known := reach(e, stepMs)
	if !known {
		return math.MinInt64, nil
	}
	return fromMs - back.Milliseconds() - stepMs - staleAfter.Milliseconds(), nil
}

func (h *History) composeMetadata(s scope, q Query, values url.Values) (oldestMs int64, err error) {
	fromMs, err := parseTime(q.Form, "start", h.o.NowMs()-h.o.Retention.Milliseconds())
	if err != nil {
		return 0, err
	}
	toMs, err := parseTime(q.Form, "end", h.o.NowMs())
	if err != nil {
		return 0, err
	}
	matches := q.Form["match[]"]
	switch {
	case q.Path == "values" && !labelName(q.Label):
		return 0, fmt.Errorf("%.64q is no label", q.Label)
	case len(matches) > matchesMax:
		return 0, fmt.Errorf("match[]: at most %d are taken", matchesMax)
	case len(matches) == 0 && q.Path == "series":
		return 0, errors.New("match[] is needed")
	case len(matches) == 0:
		values.Add("match[]", s.selector())
	}
	for _, text := range matches {
		selector, err := s.confineSelector(text)
		if err != nil {
			return 0, fmt.Errorf("match[]: %w", err)
		}
		values.Add("match[]", selector)
	}
	if text := q.Form.Get("limit"); text != "" {
		limit, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return 0, errors.New("limit: must be a whole number")
		}
		values.Set("limit", strconv.FormatUint(limit, 10))
	}
	values.Set("start", seconds(fromMs))
	values.Set("end", seconds(toMs))
	return fromMs, nil
}

// labelName reports whether a label may be called so; ours have none of the other letters.
func labelName(text string) bool {
	for _, c := range text {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return text != "" && len(text) <= 64
}

// parseTime reads a time as Prometheus does: Unix seconds, or RFC 3339. without holds if there is none.
func parseTime(form url.Values, name string, without int64) (ms int64, err error) {
	text := form.Get(name)
	if text == "" {
		return without, nil
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(s) < secondsMax {
		return int64(math.Round(s * 1000)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || math.Abs(float64(t.Unix())) >= secondsMax {
		return 0, fmt.Errorf("%s: must be Unix seconds, or a time as in RFC 3339", name)
	}
	return t.UnixMilli(), nil
}

// secondsMax bounds times, Unix seconds: the year 9999.
const secondsMax = 253402300800

// parseDuration reads a duration as Prometheus does: seconds, or such as 15s or 1h30m. It returns 1 ms or more.
func parseDuration(text string) (ms int64, err error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if s < 0.001 || s >= secondsMax || math.IsNaN(s) {
			return 0, errors.New("must be positive")
		}
		return int64(math.Round(s * 1000)), nil
	}
	ms, err = metricsql.PositiveDurationValue(text, 1)
	if err != nil || ms < 1 || ms >= secondsMax*1000 {
		return 0, errors.New("must be seconds, or a duration such as 15s or 1h")
	}
	return ms, nil
}

// badQuery says what is wrong with a query, as Prometheus does.
func badQuery(err error) Answer {
	body, _ := json.Marshal(map[string]string{"status": "error", "errorType": "bad_data", "error": err.Error()})
	return Answer{Status: http.StatusBadRequest, ContentType: "application/json", Body: body}
}
