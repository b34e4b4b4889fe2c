package main

import (
	"fmt"
	"strconv"

	"github.com/meterd/meterd/event"
)

// Words of --log-payload.
const (
	logPayloadFull = "full"
	logPayloadNone = "none"
)

// logPayloadBytes returns how much of each payload is logged, as shard.Options has it: 0 for all, negative for nothing.
func logPayloadBytes(text string) (int, error) {
	switch text {
	case logPayloadFull:
		return 0, nil
	case logPayloadNone:
		return -1, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	switch {
	case err != nil || n > event.PayloadBytesMax:
		return 0, fmt.Errorf("must be full, none, or a number of bytes up to %d", event.PayloadBytesMax)
	case n == 0:
		return -1, nil
	}
	return int(n), nil
}
