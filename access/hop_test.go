package access

import (
	"bytes"
	"testing"
)

func TestHopOrigin(t *testing.T) {
	node, client := []byte{10, 0, 0, 1}, []byte{192, 0, 2, 7}
	tests := []struct {
		hop         Hop
		key, client string
		want        []byte
	}{
		{"secret", "secret", "192.0.2.7", client},
		{"secret", "secret", "2001:db8::1%eth0", append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 11)...)},
		{"secret", "secreT", "192.0.2.7", node},
		{"secret", "", "192.0.2.7", node},
		{"secret", "secret", "", node},
		{"secret", "secret", "192.0.2.700", node},
		{"", "", "192.0.2.7", node}, // a daemon alone believes nobody
	}
	tests[1].want = append(tests[1].want, 1)
	for _, tt := range tests {
		if got := tt.hop.Origin(node, []byte(tt.key), []byte(tt.client)); !bytes.Equal(got, tt.want) {
			t.Errorf("%q: key %q, client %q: got %v, want %v", tt.hop, tt.key, tt.client, got, tt.want)
		}
	}
}

// A daemon that is alone has no inner key either.
func TestHopInner(t *testing.T) {
	if inner := Hop("").Inner(); inner.Holds([]byte(inner)) {
		t.Errorf("without a key %q opens", inner)
	}
	if inner := Hop("secret").Inner(); !inner.Holds([]byte(inner)) || inner == "secret" || inner.Holds([]byte("secret")) {
		t.Errorf("the inner key is %q", inner)
	}
}
