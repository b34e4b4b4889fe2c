package testport

import (
	"fmt"
	"syscall"
	"testing"
)

// Free returns an address of this machine, 127.0.0.1:PORT, for servers that share their port (SO_REUSEADDR), as those
// of Go do. Nobody else is given the port until the test ends. A test that cannot have one fails.
func Free(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) }) // Nothing was written.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at, is := name.(*syscall.SockaddrInet4)
	if !is {
		t.Fatalf("a socket of IPv4 is bound to %v", name)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.Port)
}
