package retention

import (
	"strings"
	"testing"
	"time"
)

func TestOptionsReportEveryFault(t *testing.T) {
	err := LogOptions{Retention: -1, Span: -1, DirBytesMax: -1, Idle: -1}.Validate()
	for _, says := range []string{"no path", "retention", "span", "at most -1 bytes", "idle"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in: %v", says, err)
		}
	}
	if err := (LedgerOptions{}).Validate(); err == nil {
		t.Error("a ledger without a path is valid")
	}
	o := LogOptions{Path: "x", Retention: 168 * time.Hour}
	if o.fill(); o.Span != 24*time.Hour || o.DirBytesMax != 8<<30 {
		t.Errorf("span %s, %d bytes", o.Span, o.DirBytesMax)
	}
	o = LogOptions{Path: "x", Retention: 20 * time.Second}
	if o.fill(); o.Span != 10*time.Second {
		t.Errorf("span %s", o.Span)
	}
}
