package access

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Penalties hold the answers to wrong tokens back: a client that guesses, or calls in a loop with an expired token, is
// slowed down, and the daemon is not. A wrong token costs one hash and one short look into a bounded table; its answer
// then waits in its own goroutine, without a lock. Requests with right tokens never come here. It is safe for
// concurrent use.
type Penalties struct {
	wait func(stop <-chan struct{}, d time.Duration)
	held atomic.Int64 // answers

	mu sync.Mutex
	// Wrong tokens by where they came from: since sinceMs, and in the generation before, which is forgotten with the next
	// one.
	fresh, stale map[netip.Prefix]uint8
	sinceMs      int64
}

// NewPenalties returns penalties that wait with wait, which returns after d or as soon as stop is closed; nil is a
// timer.
func NewPenalties(wait func(stop <-chan struct{}, d time.Duration)) *Penalties {
	if wait == nil {
		wait = waitTimer
	}
	return &Penalties{wait: wait, fresh: map[netip.Prefix]uint8{}}
}

func waitTimer(stop <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	}
}

// Hold holds the answer to a wrong token back, the longer the more of them came from address of late, and until stop is
// closed at the longest. It returns false at once if as many answers are held as may be: the caller answers and closes
// the connection. address is 4 or 16 bytes, as net.IP has them; nowMs is Unix milliseconds.
func (p *Penalties) Hold(address []byte, nowMs int64, stop <-chan struct{}) bool {
	defer p.held.Add(-1)
	if p.held.Add(1) > penaltiesHeldMax {
		return false
	}
	p.wait(stop, p.note(origin(address), nowMs))
	return true
}

// origin is what counts as one caller: a machine with an IPv6 address has a network of them.
func origin(address []byte) netip.Prefix {
	ip, _ := netip.AddrFromSlice(address)
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = penaltyNetBits
	}
	from, _ := ip.Prefix(bits) // What is no address shares the zero prefix.
	return from
}

// note counts a wrong token and returns how long its answer is held back: twice as long as the one before, up to the
// most.
func (p *Penalties) note(from netip.Prefix, nowMs int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := time.Duration(nowMs-p.sinceMs) * time.Millisecond
	if age >= penaltyForget || len(p.fresh) >= penaltyOriginsMax {
		p.stale, p.fresh, p.sinceMs = p.fresh, map[netip.Prefix]uint8{}, nowMs
		if age >= 2*penaltyForget {
			p.stale = nil
		}
	}
	n := max(p.fresh[from], p.stale[from])
	held := min(penaltyFirst<<n, penaltyMost)
	if held < penaltyMost {
		n++
	}
	p.fresh[from] = n
	return held
}
