package api

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"
	mediaCSV    = "text/csv"
	// contentCSV is how CSV is sent.
	contentCSV = "text/csv; charset=utf-8; header=present"
)

// preferred returns the media type, of those that can be answered, which the request likes best: by its weight, then by
// how exactly Accept names it, then by the order there. If it likes none the first is returned.
func (c *call) preferred(kinds ...string) string {
	best, bestRank := kinds[0], accepted{}
	place := 0
	for part := range strings.SplitSeq(string(c.ctx.Request.Header.Peek(fasthttp.HeaderAccept)), ",") {
		place--
		name, weight := mediaRange(part)
		for _, kind := range kinds {
			rank := accepted{weight: weight, place: place}
			switch group, _, _ := strings.Cut(kind, "/"); name {
			case kind:
				rank.exactness = 3
			case group + "/*":
				rank.exactness = 2
			case "*/*":
				rank.exactness = 1
			default:
				continue
			}
			if weight > 0 && bestRank.less(rank) {
				best, bestRank = kind, rank
			}
		}
	}
	return best
}

// accepted is how much a request likes a media type.
type accepted struct {
	weight    float64
	exactness int
	place     int // falling
}

func (a accepted) less(b accepted) bool {
	switch {
	case a.weight != b.weight:
		return a.weight < b.weight
	case a.exactness != b.exactness:
		return a.exactness < b.exactness
	}
	return a.place < b.place
}

// mediaRange reads one element of an Accept header; its weight is 1 if it names none, and 0 if that cannot be read.
func mediaRange(part string) (name string, weight float64) {
	name, parameters, _ := strings.Cut(part, ";")
	weight = 1
	for parameter := range strings.SplitSeq(parameters, ";") {
		if key, value, _ := strings.Cut(strings.TrimSpace(parameter), "="); strings.EqualFold(key, "q") {
			var err error
			if weight, err = strconv.ParseFloat(value, 64); err != nil || weight < 0 || weight > 1 {
				weight = 0
			}
		}
	}
	return strings.ToLower(strings.TrimSpace(name)), weight
}
