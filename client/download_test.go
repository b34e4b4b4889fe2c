package client

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestDownload(t *testing.T) {
	a := newTestAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		switch _, name, _ := strings.Cut(r.URL.Path[1:], "/"); name {
		case "whole":
			_, _ = w.Write([]byte(strings.Repeat(r.URL.Query().Get("columns"), 100_000)))
		case "cut":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("only this"))
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code":"not_found","status":404}`))
		}
	})
	var got bytes.Buffer
	n, err := a.Download(t.Context(), "/whole", map[string][]string{"columns": {"focus"}}, &got)
	if err != nil || n != 500_000 || got.String() != strings.Repeat("focus", 100_000) {
		t.Errorf("it is %d bytes, %v", n, err)
	}
	if n, err := a.Download(t.Context(), "/cut", nil, &got); err == nil || n != 9 {
		t.Errorf("an answer that breaks off is %d bytes, %v", n, err)
	}
	var p *Problem
	if _, err := a.Download(t.Context(), "/none", nil, &got); !errors.As(err, &p) || p.Code != "not_found" {
		t.Errorf("what is not there is answered %v", err)
	}
}
