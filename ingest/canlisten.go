package ingest

import "net"

// CanListen returns why no server could listen at an address now, HOST:PORT; nil if one could.
func CanListen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}
