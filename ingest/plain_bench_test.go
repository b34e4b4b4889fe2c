package ingest

import "testing"

// BenchmarkPlain reads the header of a single event as the client sends it. Nothing is allocated.
func BenchmarkPlain(b *testing.B) {
	request := []byte(plainWith("User-Agent: meterd-client", "Meterd-Producer: gw-0001", "Meterd-Sequence: 1234567"))
	var p plain
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if _, is := p.parse(request); is != isPlain {
			b.Fatal("it is not plain")
		}
	}
}
