package event

import (
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
	for c := range 256 {
		want := strings.IndexByte(letters, byte(c)) >= 0
		for _, name := range [][]byte{{byte(c)}, {'a', byte(c)}, {byte(c), 'a'}} {
			if ValidName(name) != want {
				t.Errorf("ValidName(%q) = %v", name, !want)
			}
		}
	}
	for n, want := range map[int]bool{0: false, 1: true, NameBytesMax: true, NameBytesMax + 1: false} {
		if ValidName([]byte(strings.Repeat("a", n))) != want {
			t.Errorf("a name of %d bytes: %v", n, !want)
		}
	}
}

func TestParseType(t *testing.T) {
	names := map[Type]string{
		Connect: "connect", Disconnect: "disconnect", Up: "up", Down: "down", OTA: "ota", OTAVoid: "ota_void",
	}
	if len(names) != Types-1 {
		t.Fatalf("%d types of %d are tested", len(names), Types-1)
	}
	for typ, name := range names {
		if typ.String() != name || ParseType([]byte(name)) != typ {
			t.Errorf("%d is %q, %q is %d", typ, typ, name, ParseType([]byte(name)))
		}
	}
	for _, name := range []string{"", "Up", "up ", "u", "ups", "ota-void"} {
		if got := ParseType([]byte(name)); got != 0 {
			t.Errorf("%q is %v", name, got)
		}
	}
	for _, typ := range []Type{0, Types, 255} {
		if got := typ.String(); got != "" {
			t.Errorf("%d is %q", typ, got)
		}
	}
}

func TestCodeTable(t *testing.T) {
	seen := map[string]Code{}
	for c := Accepted; c <= InvalidEvent; c++ {
		if other, ok := seen[c.String()]; ok {
			t.Errorf("%d and %d are both %q", other, c, c)
		}
		seen[c.String()] = c
	}
	rows := 0
	for c, row := range codeTable {
		if row == (codeRow{}) {
			if c <= int(InvalidEvent) || c >= int(BadRequest) {
				t.Errorf("code %d has no row", c)
			}
			if got := Code(c).String(); got != "internal_error" {
				t.Errorf("code %d is %q", c, got)
			}
			continue
		}
		rows++
		if row.name == "" || row.title == "" || strings.HasSuffix(row.title, ".") {
			t.Errorf("code %d: %q, %q", c, row.name, row.title)
		}
		if ok := row.status == 200; ok != (Code(c) == Accepted) || !ok && (row.status < 400 || row.status > 599) {
			t.Errorf("%s has status %d", row.name, row.status)
		}
	}
	if Code(255).Status() != 500 || rows != 43 {
		t.Errorf("an unknown code has status %d; %d codes", Code(255).Status(), rows)
	}
}
