package archive
import ("testing";"time";"os";"os/exec")
func TestTmp(t *testing.T) {
	o := Options{Path: "/root/t/tmparch"}
	os.RemoveAll(o.Path); os.MkdirAll("/root/t",0o755)
	s := testStore(t, o)
	h := newHistory(1, 12)
	for range 5 {
	g := h.next(100, time.Minute)
	g.feed(t, s)
	b := time.Now()
	if err := s.WriteRun(); err != nil { t.Fatal(err) }
	t.Log("write run", time.Since(b))
	}
	b := time.Now()
	h.compare(t, s, h.nowMs)
	t.Log("compare", time.Since(b))
	b = time.Now()
	s.Close()
	t.Log("close", time.Since(b))
	out, _ := exec.Command("sh", "-c", "ls -lsR "+o.Path).CombinedOutput()
	t.Log(string(out))
}
