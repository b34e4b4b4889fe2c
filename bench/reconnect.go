package bench

import (
	"context"
	"fmt"
)

// reconnect is a storm of reconnects. The gateways that held the devices are gone; all devices are active and offline,
// and all connect again through other gateways. None consumes another licence (R1).
func reconnect(ctx context.Context, r *run) error {
	if err := activate(ctx, r); err != nil {
		return err
	}
	t := r.target
	// The holders are the producers of the first connects, or of an earlier storm.
	gone := 0
	for _, first := range []int{0, connectionsMax} {
		for i := range connectConnections {
			n, err := t.admin.offline(ctx, t.producer(first+i))
			if err != nil {
				return err
			}
			gone += n
		}
	}
	if gone < t.main.devices { // These producers may hold devices of other scenarios, too.
		return fmt.Errorf("%d devices were online, and only %d were put offline", t.main.devices, gone)
	}
	result, err := r.connectAll(ctx, "reconnect", t.main, connectionsMax)
	if err != nil {
		return err
	}
	r.add(result)
	return nil
}
