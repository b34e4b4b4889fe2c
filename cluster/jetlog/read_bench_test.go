package jetlog

import "testing"

// BenchmarkRead is what a standby does for each group: it reads one message, beside three servers of one cluster.
func BenchmarkRead(b *testing.B) {
	servers := startServers(b, 3)
	j, id := connect(b, servers[0].Conn(), testSettings(3))
	m := message{kind: kindEpoch, stream: id, epoch: 1, payload: (&epochBegin{node: "n1"}).append(nil)}
	if err := j.Publish(b.Context(), 0, m.append(nil)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		list, err := j.Read(b.Context(), 1, readBytes)
		if err != nil {
			b.Fatal(err)
		}
		if len(list) > 1 {
			b.Fatalf("%d messages", len(list))
		}
	}
}
