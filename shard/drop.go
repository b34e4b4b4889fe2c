package shard

// Drop stops the engine at once, without a checkpoint: what is not stored is nobody's. Requests that wait are answered
// with ErrStopped. It returns when nothing is appended any more, and is called instead of Close.
func (e *Engine) Drop() {
	e.fail(ErrStopped)
	_ = e.Close() // The failure is ours.
}
