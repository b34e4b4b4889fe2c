package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
)

// planFlags are the values of a plan. Their bounds are the daemon's to judge.
type planFlags struct {
	validity, messages                             string
	unitBytes, otaPerMonth, otaUnitBytes, logsDays uint64
}

// noLimit is how a person says null messages.
const noLimit = "none"

func (p *planFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&p.validity, "validity", "", "how long a licence lasts, an ISO 8601 period such as P5Y")
	flags.StringVar(&p.messages, "messages-per-day", "", "messages of a device a day, or none for no limit")
	flags.Uint64Var(&p.unitBytes, "message-unit-bytes", 0, "bytes that count as one message; 0 counts each message as one")
	flags.Uint64Var(&p.otaPerMonth, "ota-per-month", 0, "OTA units of a device a month")
	flags.Uint64Var(&p.otaUnitBytes, "ota-unit-bytes", 0, "bytes of firmware that count as one OTA unit")
	flags.Uint64Var(&p.logsDays, "log-days", 0, "days that the raw log is kept")
}

// values returns those that were given, as the API names them.
func (p *planFlags) values(flags *pflag.FlagSet) (map[string]any, error) {
	values := map[string]any{}
	if flags.Changed("validity") {
		values["validity"] = p.validity
	}
	if flags.Changed("messages-per-day") {
		values["messages_per_day"] = nil
		if p.messages != noLimit {
			n, err := strconv.ParseUint(p.messages, 10, 64)
			if err != nil {
				return nil, usageError{fmt.Errorf("--messages-per-day %q: must be a whole number, or none", p.messages)}
			}
			values["messages_per_day"] = n
		}
	}
	for flag, number := range map[string]struct {
		member string
		value  uint64
	}{
		"message-unit-bytes": {"message_unit_bytes", p.unitBytes},
		"ota-per-month":      {"ota_per_month", p.otaPerMonth},
		"ota-unit-bytes":     {"ota_unit_bytes", p.otaUnitBytes},
		"log-days":           {"log_days", p.logsDays},
	} {
		if flags.Changed(flag) {
			values[number.member] = number.value
		}
	}
	return values, nil
}
