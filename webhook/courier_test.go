package webhook

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/webhook/send"
)

// run starts a service in a bubble and has it stopped with the test.
func run(t *testing.T, s *Service, w *world) {
	t.Helper()
	if err := s.Start(w, w); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
}

// pass lets so much time go by, and everything that it brings happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantGot(t *testing.T, b *inbox, want ...string) {
	t.Helper()
	if got := b.take(); !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
}

// Messages come in their order, each once, and a receiver that hangs or fails delays no other one.
func TestDeliveryIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newInbox()
		good, bad, slow := w.hook("good", "", "ingest.stopped"), w.hook("bad", "", "ingest.stopped"),
			w.hook("slow", "", "ingest.stopped")
		b.set("https://bad", send.Outcome{Err: errRefused})
		b.hang["https://slow"] = true
		s := open(t, newMemStore(), b.receive)
		run(t, s, w)
		pass(tick)
		say(t, s, slow, "a", "b")
		say(t, s, bad, "a", "b")
		synctest.Wait()
		b.take()
		for i := range 100 {
			say(t, s, good, fmt.Sprint(i))
		}
		synctest.Wait()
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("https://good %d", i))
		}
		wantGot(t, b, want...)
		if st := s.Status(good); st.State != StateOK || st.Delivered != 100 || st.Queued != 0 || st.OldestQueuedMs != 0 {
			t.Errorf("%+v", st)
		}
		if st := s.Status(bad); st.State != StateFailing || st.Queued != 2 || st.LastError != "answered 500" ||
			st.NextTryMs <= time.Now().UnixMilli() || st.FailedTries != 1 {
			t.Errorf("%+v", st)
		}
		b.set("https://bad", send.Outcome{})
		pass(retryFirst)
		wantGot(t, b, "https://bad a", "https://bad b")
		if st := s.Status(bad); st.State != StateOK || st.LastError != "" || st.NextTryMs != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// The pauses grow to two hours, are never all alike, and end after three days: then the message is a dead letter, with
// those that waited behind it as long.
func TestRetriesForThreeDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newInbox()
		h := w.hook("h", "", "ingest.stopped")
		b.set("https://h", send.Outcome{Err: errRefused})
		s := open(t, newMemStore(), b.receive)
		run(t, s, w)
		pass(tick)
		say(t, s, h, "first", "second")
		pass(time.Hour)
		say(t, s, h, "later")
		pass(retryFor - time.Hour - time.Minute)
		if st := s.Status(h); st.Queued != 3 || st.DeadLetters != 0 {
			t.Fatalf("before its time is over: %+v", st)
		}
		pass(retryMax)
		st := s.Status(h)
		if st.DeadLetters < 2 || st.Queued+st.DeadLetters != 3 {
			t.Fatalf("when its time is over: %+v", st)
		}
		letters, err := s.DeadLetters(h, 0, 10)
		if err != nil || letters[0].ID != "first" || letters[0].Tries < 36 || letters[0].Tries > 90 ||
			letters[0].Error != "answered 500" || letters[1].ID != "second" || letters[1].Tries != 0 {
			t.Errorf("%+v, %v", letters, err)
		}
		b.mu.Lock()
		at := b.at
		b.mu.Unlock()
		pauses := map[time.Duration]bool{}
		for i := 1; i < len(at); i++ {
			pause, most := at[i].Sub(at[i-1]), retryFirst
			for range min(i-1, 20) {
				most = min(most*retryTimes, retryMax)
			}
			if pauses[pause] = true; pause < most/2 || pause > most {
				t.Errorf("try %d came after %s, want %s to %s", i, pause, most/2, most)
			}
		}
		if len(pauses) < len(at)/2 {
			t.Errorf("%d tries had %d different pauses", len(at), len(pauses))
		}
		b.set("https://h", send.Outcome{})
		pass(2 * retryMax)
		b.take()
		if err := s.Retry(h, "second"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantGot(t, b, "https://h second")
		if err := s.Retry(h, "second"); err == nil {
			t.Error("a letter that is gone was queued")
		}
	})
}

// A daemon that starts after a long time gives nothing up before it has tried for a while.
func TestNothingIsGivenUpAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, store := newWorld(t), newInbox(), newMemStore()
		h := w.hook("h", "", "ingest.stopped")
		b.set("https://h", send.Outcome{Err: errRefused})
		s := open(t, store, b.receive)
		if err := s.Start(w, w); err != nil {
			t.Fatal(err)
		}
		pass(tick)
		say(t, s, h, "a", "b")
		pass(time.Minute)
		s.Stop()
		time.Sleep(2 * retryFor)
		s = open(t, store.crash(), b.receive)
		run(t, s, w)
		pass(settleFor / 2)
		if st := s.Status(h); st.Queued != 2 || st.DeadLetters != 0 || st.State != StateFailing {
			t.Errorf("%+v", st)
		}
		b.set("https://h", send.Outcome{})
		b.take()
		pass(retryMax)
		wantGot(t, b, "https://h a", "https://h b")
	})
}

// A receiver that has answered 410 is left alone until its hook is set again.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newInbox()
		h := w.hook("h", "", "ingest.stopped")
		b.set("https://h", send.Outcome{Err: errRefused, Gone: true})
		s := open(t, newMemStore(), b.receive)
		run(t, s, w)
		pass(tick)
		say(t, s, h, "a")
		pass(24 * time.Hour)
		wantGot(t, b, "https://h a")
		if st := s.Status(h); st.State != StateGone || st.Queued != 1 {
			t.Errorf("%+v", st)
		}
		h = w.hookAt("h", "", "https://new", "ingest.stopped")
		pass(2 * tick)
		wantGot(t, b, "https://new a")
		if st := s.Status(h); st.State != StateOK || st.Delivered != 1 {
			t.Errorf("%+v", st)
		}
		b.set("https://new", send.Outcome{Err: errRefused, Gone: true})
		say(t, s, h, "b")
		synctest.Wait()
		b.set("https://new", send.Outcome{})
		s.TryNow(h) // It was set again, as it is.
		synctest.Wait()
		wantGot(t, b, "https://new b", "https://new b")
	})
}

// A receiver may ask for a longer pause.
func TestRetryAfterIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newInbox()
		h := w.hook("h", "", "ingest.stopped")
		b.set("https://h", send.Outcome{Err: errRefused, RetryAfter: 10 * time.Minute})
		s := open(t, newMemStore(), b.receive)
		run(t, s, w)
		pass(tick)
		say(t, s, h, "a")
		pass(10*time.Minute - time.Second)
		wantGot(t, b, "https://h a")
		pass(time.Second)
		wantGot(t, b, "https://h a")
	})
}

// While the disk is full nothing is sent, because that it was taken could not be noted.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newInbox()
		var full atomic.Bool
		full.Store(true)
		h := w.hook("h", "", "ingest.stopped")
		s := open(t, newMemStore(), b.receive)
		s.full = full.Load
		run(t, s, w)
		pass(tick)
		say(t, s, h, "a")
		pass(time.Minute)
		wantGot(t, b)
		full.Store(false)
		pass(retryFirst)
		wantGot(t, b, "https://h a")
	})
}

// What waits for a hook that is deleted goes with it, and a hook of the same name gets nothing of it.
func TestDeletedHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, store := newWorld(t), newInbox(), newMemStore()
		old := w.hook("h", "", "ingest.stopped")
		b.set("https://h", send.Outcome{Err: errRefused})
		s := open(t, store, b.receive)
		run(t, s, w)
		pass(tick)
		say(t, s, old, "a", "b")
		synctest.Wait()
		w.unhook("h")
		b.set("https://h", send.Outcome{})
		h := w.hook("h", "", "ingest.stopped")
		pass(2 * tick)
		b.take()
		say(t, s, old, "late") // By a group that was decided while it was there.
		say(t, s, h, "c")
		pass(2 * tick)
		wantGot(t, b, "https://h c")
		if n := store.count(keyQueue) + store.count(string(hookKey(keyState, old.ID))); n > 0 {
			t.Errorf("%d rows of a deleted hook are left", n)
		}
	})
}
