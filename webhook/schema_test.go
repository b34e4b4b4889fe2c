package webhook

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/license"
)

// schema is as much of JSON Schema as docs/webhooks.md uses.
type schema struct {
	Ref        string `json:"$ref"`
	Required   []string
	Properties map[string]struct{ Type any }
	Defs       map[string]*schema `json:"$defs"`
}

// The page has a schema for every event, and what is told of it has the fields and types that the schema says.
func TestSchemasAreAsTold(t *testing.T) {
	page, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	var whole schema
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	told := map[license.HookEvent]any{
		license.HookQuota80: quotaData{}, license.HookQuota100: quotaData{}, license.HookLicensesLow: stockData{},
		license.HookPacksLow: stockData{}, license.HookLicensesDry: dryData{}, license.HookLicensesEnding: endingData{},
		license.HookIngestStopped: ingestData{}, license.HookIngestResumed: ingestData{},
	}
	for _, name := range license.HookEvents(1<<32 - 1).Names() {
		def := whole.Defs[name]
		if def != nil && def.Ref != "" {
			def = whole.Defs[strings.TrimPrefix(def.Ref, "#/$defs/")]
		}
		if def == nil || len(def.Required) == 0 || !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s has no schema, or is not explained", name)
			continue
		}
		set, _ := license.HookEventsOf([]string{name})
		for e, data := range told {
			if set.Has(e) {
				checkData(t, name, data, def)
			}
		}
	}
}

func checkData(t *testing.T, name string, data any, def *schema) {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(mustJSON(data), &fields); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, slices.Sorted(slices.Values(def.Required))) {
		t.Errorf("%s tells %q, its schema says %q", name, got, def.Required)
	}
	for field, value := range fields {
		want := "string"
		if _, isNumber := value.(float64); isNumber {
			want = "integer"
		}
		if def.Properties[field].Type != want {
			t.Errorf("%s: %s is a %s, its schema says %v", name, field, want, def.Properties[field].Type)
		}
	}
}
