package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"
	"time"
)

// oneTime gives out codes, each of which is good for one use within a short time. It holds hashes of the codes, in
// memory alone. It is safe for concurrent use.
type oneTime[T any] struct {
	within           time.Duration
	most, mostAToken int

	mu     sync.Mutex
	issued []issued[T]
}

// issued is what a code stands for.
type issued[T any] struct {
	hash    [sha256.Size]byte
	owner   string // name of the token that asked for the code
	untilMs int64
	value   T
}

// issue returns a code for value; ok is false if as many wait as may. nowMs is Unix milliseconds.
func (o *oneTime[T]) issue(owner string, value T, nowMs int64) (code string, ok bool) {
	code = rand.Text()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.issued = slices.DeleteFunc(o.issued, func(i issued[T]) bool { return nowMs >= i.untilMs })
	own := 0
	for i := range o.issued {
		if o.issued[i].owner == owner {
			own++
		}
	}
	if len(o.issued) >= o.most || own >= o.mostAToken {
		return "", false
	}
	o.issued = append(o.issued, issued[T]{
		hash: sha256.Sum256([]byte(code)), owner: owner, untilMs: nowMs + o.within.Milliseconds(), value: value,
	})
	return code, true
}

// redeem returns what a code stands for, and forgets it; ok is false if the code is not good. How long it takes says
// nothing about the codes. back makes the code good again for the rest of its time, unless as many wait as may.
func (o *oneTime[T]) redeem(code string, nowMs int64) (value T, back func(), ok bool) {
	hash := sha256.Sum256([]byte(code))
	o.mu.Lock()
	defer o.mu.Unlock()
	found := -1
	for i := range o.issued {
		if subtle.ConstantTimeCompare(o.issued[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return value, nil, false
	}
	was := o.issued[found]
	o.issued = slices.Delete(o.issued, found, found+1)
	back = func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.issued) < o.most {
			o.issued = append(o.issued, was)
		}
	}
	return was.value, back, nowMs < was.untilMs
}
