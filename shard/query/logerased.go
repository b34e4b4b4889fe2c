package query

import "github.com/meterd/meterd/license"

// hide takes topic and payload from an entry of a device if they are erased by now, and reports whether they are: then
// nobody finds it by a topic. It is done as late as it can be, since entries may wait for whoever takes them.
func (e *LogEntry) hide(c *license.Catalogue, product uint32, device []byte) (isErased bool) {
	if e.Row.DecidedMs > c.ErasedUntilMs(product, device) {
		return false
	}
	e.Row.IsCut = e.Row.IsCut || len(e.Row.Payload) > 0
	e.Row.Topic, e.Row.Payload = nil, nil
	return true
}
