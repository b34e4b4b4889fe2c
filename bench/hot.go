package bench

import "context"

// hotDevices are how many devices all connections send to at any one time.
var hotDevices = [...]int{1, 100}

// hot sends all messages to one device at a time, then to a hundred.
func hot(ctx context.Context, r *run) error {
	if err := activate(ctx, r); err != nil {
		return err
	}
	for _, devices := range hotDevices {
		c := r.o.cases()[0]
		c.Among, c.Draw = devices, ""
		result, err := r.measure(ctx, r.target.main, c, &job{what: "hot"})
		if err != nil {
			return err
		}
		r.add(result)
	}
	return nil
}
