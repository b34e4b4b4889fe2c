package history

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/VictoriaMetrics/metricsql"
)

// scope is what a client may see: one account, or every series that has one.
type scope struct{ account string }

// filter is the label filter of the scope.
func (s scope) filter() metricsql.LabelFilter {
	if s.account == "" {
		return metricsql.LabelFilter{Label: "account", IsNegative: true} // account!=""
	}
	return metricsql.LabelFilter{Label: "account", Value: s.account}
}

// selector is the scope as a selector of its own.
func (s scope) selector() string {
	e := &metricsql.MetricExpr{LabelFilterss: [][]metricsql.LabelFilter{{s.filter()}}}
	return string(e.AppendString(nil))
}

// templates finds MetricsQL's WITH, which the parser expands: a few bytes become as many as a client likes, in this
// process.
var templates = regexp.MustCompile(`(?i)\bwith(\s|#[^\n]*\n)*\(`)

// confine parses a query and gives every selector in it the scope's filter. What it returns is written anew from what
// was parsed, so that the store reads what was confined.
func (s scope) confine(text string) (metricsql.Expr, error) {
	if len(text) == 0 || len(text) > queryBytesMax {
		return nil, fmt.Errorf("a query must have 1 to %d bytes", queryBytesMax)
	}
	if templates.MatchString(text) {
		return nil, errors.New("templates (WITH) are not taken")
	}
	e, err := metricsql.Parse(text)
	if err != nil {
		return nil, err
	}
	metricsql.VisitAll(e, s.put)
	// The text that is sent is parsed once more: every selector must have the filter.
	again, err := metricsql.Parse(string(e.AppendString(nil)))
	if err != nil {
		return nil, fmt.Errorf("cannot be confined: %w", err)
	}
	confined := true
	metricsql.VisitAll(again, func(e metricsql.Expr) { confined = confined && s.has(e) })
	if !confined {
		return nil, fmt.Errorf("%.200q cannot be confined to an account", text)
	}
	return again, nil
}

// confineSelector is confine for what must be one selector.
func (s scope) confineSelector(text string) (string, error) {
	e, err := s.confine(text)
	if err != nil {
		return "", err
	}
	if _, is := e.(*metricsql.MetricExpr); !is {
		return "", fmt.Errorf("%.200q is no selector", text)
	}
	return string(e.AppendString(nil)), nil
}

func (s scope) put(e metricsql.Expr) {
	m, is := e.(*metricsql.MetricExpr)
	if !is {
		return
	}
	if len(m.LabelFilterss) == 0 {
		m.LabelFilterss = [][]metricsql.LabelFilter{nil}
	}
	for i, filters := range m.LabelFilterss {
		m.LabelFilterss[i] = s.confined(filters)
	}
}

// confined returns filters with the scope's behind them. It is the only one that says which account it is: absent()
// makes a label of each that does, and none may come twice.
func (s scope) confined(filters []metricsql.LabelFilter) []metricsql.LabelFilter {
	own := s.filter()
	all := make([]metricsql.LabelFilter, 0, len(filters)+1)
	for _, f := range filters {
		if s.account != "" && f.Label == own.Label && !f.IsNegative && !f.IsRegexp {
			if f.Value == s.account {
				continue
			}
			f = own
			f.IsNegative = true // With own it matches nothing, as it must.
		}
		all = append(all, f)
	}
	return append(all, own)
}

// has reports whether e, if it is a selector, has the scope's filter in each of its alternatives.
func (s scope) has(e metricsql.Expr) bool {
	m, is := e.(*metricsql.MetricExpr)
	if !is {
		return true
	}
	for _, filters := range m.LabelFilterss {
		found := false
		for _, f := range filters {
			found = found || f == s.filter()
		}
		if !found {
			return false
		}
	}
	return len(m.LabelFilterss) > 0
}

// reach returns how far before the instant of an evaluation a query looks, and false if that cannot be told.
func reach(e metricsql.Expr, stepMs int64) (time.Duration, bool) {
	most, known := time.Duration(0), true
	below := func(list ...metricsql.Expr) {
		for _, e := range list {
			d, ok := reach(e, stepMs)
			most, known = max(most, d), known && ok
		}
	}
	switch e := e.(type) {
	case *metricsql.RollupExpr:
		below(e.Expr)
		if e.At != nil {
			return 0, false
		}
		most += time.Duration(e.Window.Duration(stepMs)+max(0, e.Offset.Duration(stepMs))) * time.Millisecond
	case *metricsql.BinaryOpExpr:
		below(e.Left, e.Right)
	case *metricsql.FuncExpr:
		below(e.Args...)
	case *metricsql.AggrFuncExpr:
		below(e.Args...)
	}
	return most, known && most >= 0
}
