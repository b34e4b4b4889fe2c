package history

import (
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
)

// Whatever a query says, each of its selectors is confined in each of its alternatives.
func TestQueriesAreConfined(t *testing.T) {
	s := scope{"acme"}
	for _, text := range evasions {
		e, err := s.confine(text)
		if err != nil {
			t.Logf("%s is refused: %v", text, err)
			continue
		}
		selectors := 0
		metricsql.VisitAll(e, func(e metricsql.Expr) {
			m, is := e.(*metricsql.MetricExpr)
			if !is {
				return
			}
			selectors++
			for _, filters := range m.LabelFilterss {
				last := filters[len(filters)-1]
				if last.Label != "account" || last.Value != "acme" || last.IsNegative || last.IsRegexp {
					t.Errorf("%s: becomes %s", text, e.AppendString(nil))
				}
				for _, f := range filters[:len(filters)-1] { // absent() would show the label twice
					if f.Label == "account" && !f.IsNegative && !f.IsRegexp {
						t.Errorf("%s: becomes %s", text, e.AppendString(nil))
					}
				}
			}
		})
		if selectors == 0 && strings.Contains(text, "meterd_") {
			t.Errorf("%s: no selector is left", text)
		}
	}
}

// evasions are queries that try to see another account.
var evasions = []string{
	`{__name__=~".+"}`,
	`{}`,
	`meterd_messages_total`,
	`meterd_messages_total{account="other"}`,
	`meterd_messages_total{account=~".*"}`,
	`meterd_messages_total{account!="acme"}`,
	`meterd_messages_total{account="acme"} or meterd_messages_total{account="other"}`,
	`{account="acme" or account="other"}`,
	`{account="acme",__name__="meterd_messages_total" or __name__=~"meterd_.*"}`,
	`{"account"="other"}`,
	`{"meterd_messages_total", "account"="other"}`,
	`label_replace(meterd_messages_total, "account", "acme", "account", ".*")`,
	`label_set(meterd_messages_total, "account", "acme")`,
	`label_join(meterd_messages_total{account="other"}, "x", ",", "account")`,
	`meterd_messages_total @ 1795780000`,
	`meterd_messages_total{account="other"} @ end()`,
	`meterd_messages_total offset 1m`,
	`max_over_time(sum by (account) (meterd_messages_total)[1h:1m])`,
	`sum_over_time((meterd_messages_total or meterd_messages_total{account="other"})[1h:10s])`,
	`count by (account) ({__name__!=""})`,
	`group by (account) ({account!=""})`,
	`topk(10, meterd_messages_total) by (account)`,
	`absent(meterd_messages_total{account="other"})`,
	`absent(meterd_messages_total{account="acme"})`,
	`absent(meterd_messages_total{account="other",account="acme"})`,
	`absent(meterd_messages_total{account=""})`,
	`absent({"meterd_messages_total", "account"="other"})`,
	`absent({\x61ccount="other"})`,
	`absent_over_time(meterd_messages_total{account="other"}[1h])`,
	`meterd_messages_total * on() group_left(account) meterd_licenses`,
	`meterd_messages_total unless meterd_messages_total{account="acme"}`,
	`meterd_messages_total if meterd_messages_total{account="other"}`,
	`meterd_messages_total default meterd_messages_total{account="other"}`,
	`union(meterd_messages_total, meterd_messages_total{account="other"})`,
	`WITH (x = {account="other"}) meterd_messages_total{x}`,
	`WITH (f(q) = q{account="other"}) f(meterd_messages_total)`,
	`WITH (account = "other") meterd_messages_total{account=account}`,
	`count_values("account", meterd_messages_total)`,
	`rollup(meterd_messages_total[1h])`,
	`aggr_over_time(("min_over_time","max_over_time"), meterd_messages_total[1h])`,
	`quantiles("account", 0.5, meterd_messages_total)`,
	`histogram_quantile(0.5, meterd_messages_total)`,
	`meterd_history_filled_quarter`,
	"meterd_messages_total{account='other'}",
	"meterd_messages_total{account=`other`}",
	"meterd_messages_total{account=\"\\x6fther\"}",
	"# a comment\nmeterd_messages_total{account=\"other\"} # }{account=\"acme\"}",
	`meterd_messages_total{account="acme\"} or {account=\"other"}`,
	`{__graphite__="*"}`,
	`meterd_messages_total{account="other",}`,
	`-meterd_messages_total`,
	`(((meterd_messages_total)))`,
	`meterd_messages_total[1h]`,
	`1 + 1`, `time()`, `vector(1)`,
	`meterd_messages_total{`, `}`, `sum(`, ``, strings.Repeat("a", queryBytesMax+1),
}

func TestOneSelector(t *testing.T) {
	s := scope{"acme"}
	if got, err := s.confineSelector(`meterd_devices{state="active"}`); err != nil ||
		got != `meterd_devices{state="active",account="acme"}` {
		t.Errorf("%s, %v", got, err)
	}
	for text, want := range map[string]string{
		`x{account="acme"}`:                   `x{account="acme"}`,
		`x{account="other",a="b"}`:            `x{account!="acme",a="b",account="acme"}`,
		`{account="other" or account="acme"}`: `{account!="acme",account="acme" or account="acme"}`,
		`x{account=~"o.*",account!="other"}`:  `x{account=~"o.*",account!="other",account="acme"}`,
	} {
		if got, err := s.confineSelector(text); err != nil || got != want {
			t.Errorf("%s becomes %s, %v", text, got, err)
		}
	}
	if got, err := (scope{}).confineSelector(`x{account="other"}`); err != nil || got != `x{account="other",account!=""}` {
		t.Errorf("all accounts: %s, %v", got, err)
	}
	for _, text := range []string{`sum(x)`, `x[1h]`, `x or y`, `1`, ``, `x offset 1m`} {
		if got, err := s.confineSelector(text); err == nil {
			t.Errorf("%s is a selector: %s", text, got)
		}
	}
	if got := (scope{}).selector(); got != `{account!=""}` {
		t.Errorf("all accounts: %s", got)
	}
}

// A query must not grow while it is parsed: that is done in the process that decides events.
func TestTemplatesAreRefused(t *testing.T) {
	for _, text := range []string{
		`WITH (a = x) a`, `with(a = x, b = a + a) b`, "WITH # a comment (\n\t(a = x) a", `sum(With (a = x) a)`,
	} {
		if e, err := (scope{"acme"}).confine(text); err == nil {
			t.Errorf("%s becomes %s", text, e.AppendString(nil))
		}
	}
	if _, err := (scope{"acme"}).confine(`meterd_devices{product="with"}`); err != nil {
		t.Error(err)
	}
}

func TestReach(t *testing.T) {
	for _, c := range []struct {
		query string
		want  time.Duration
		known bool
	}{
		{`x`, 0, true},
		{`rate(x[5m])`, 5 * time.Minute, true},
		{`increase(x[1d]) / increase(y[2d])`, 48 * time.Hour, true},
		{`rate(x[5m] offset 1d)`, 24*time.Hour + 5*time.Minute, true},
		{`max_over_time(rate(x[5m])[1h:1m])`, 65 * time.Minute, true},
		{`sum(rate(x[2i])) by (a)`, 20 * time.Second, true},
		{`x offset -1d`, 0, true},
		{`x @ 1`, 0, false},
		{`sum(x @ end())`, 0, false},
	} {
		e, err := metricsql.Parse(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got, known := reach(e, 10_000); got != c.want || known != c.known {
			t.Errorf("%s: %v, %v, want %v, %v", c.query, got, known, c.want, c.known)
		}
	}
}

// FuzzConfine: no query panics, and what comes out is confined.
func FuzzConfine(f *testing.F) {
	for _, text := range evasions {
		f.Add(text)
	}
	s := scope{"acme"}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := s.confine(text)
		if err != nil {
			return
		}
		metricsql.VisitAll(e, func(e metricsql.Expr) {
			if !s.has(e) {
				t.Fatalf("%q: %s is not confined", text, e.AppendString(nil))
			}
		})
		reach(e, 1000)
	})
}
