package testport

import (
	"net"
	"testing"
)

// A server listens there, again when it has ended, and nobody else is given the port.
func TestFree(t *testing.T) {
	address := Free(t)
	for range 2 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if other := Free(t); other == address {
		t.Fatalf("%s is given twice", address)
	}
}
