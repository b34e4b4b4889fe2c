// Package metrictest checks what GET /metrics answers, as `promtool check metrics` does: it runs the same linter.
//
//	text ──► promlint (of Prometheus) ──► the problems, none of which may be there
//
// Invariant: it is imported by tests alone.
package metrictest
