package main

import (
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// connackRefusal returns the MQTT 5 reason for a connect without an accepting verdict; its string is meterd's code.
func connackRefusal(v client.Verdict, err error) packets.Code {
	switch {
	case errors.Is(err, client.ErrOverloaded):
		return packets.Code{Code: packets.ErrServerBusy.Code, Reason: "overloaded"}
	case errors.Is(err, client.ErrInvalid):
		return packets.ErrClientIdentifierNotValid
	case err != nil:
		return packets.Code{Code: packets.ErrServerUnavailable.Code, Reason: unavailability(err)}
	case v.Is(event.LicenseExhausted):
		return packets.Code{Code: packets.ErrQuotaExceeded.Code, Reason: v.Code}
	case v.Is(event.Suspended):
		return packets.Code{Code: packets.ErrBanned.Code, Reason: v.Code}
	case v.Is(event.InvalidEvent):
		return packets.Code{Code: packets.ErrClientIdentifierNotValid.Code, Reason: v.Code}
	}
	return packets.Code{Code: packets.ErrNotAuthorized.Code, Reason: v.Code}
}

// connackRefusal3 returns what stands for code in MQTT 3.1.1; the broker turns it into the return codes 2, 3 and 5.
func connackRefusal3(code packets.Code) packets.Code {
	switch code.Code {
	case packets.ErrServerUnavailable.Code, packets.ErrServerBusy.Code:
		return packets.ErrServerUnavailable
	case packets.ErrClientIdentifierNotValid.Code:
		return packets.ErrClientIdentifierNotValid
	}
	return packets.ErrBadUsernameOrPassword // The broker's entry for 5, not authorized.
}

// publishRefusal returns the MQTT 5 reason for a PUBLISH that does not pass, of the few that a PUBACK may carry. 0x97
// tells a device to wait until its quota is there again; 0x83 "not now"; 0x87 to stop sending; 0x90 and 0x99 that this
// message will never pass. Its string is meterd's code, if there is a verdict.
func publishRefusal(v client.Verdict, err error) packets.Code {
	var code packets.Code
	switch {
	case errors.Is(err, client.ErrOverloaded):
		return packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: "overloaded"}
	case errors.Is(err, client.ErrInvalid):
		return packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: event.InvalidEvent.String()}
	case err != nil:
		return packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: unavailability(err)}
	case v.Is(event.MessageQuotaExceeded), v.Is(event.LicenseExhausted):
		code = packets.ErrQuotaExceeded
	case v.Is(event.InvalidEvent) && v.Field == "topic":
		code = packets.ErrTopicNameInvalid
	case v.Is(event.PayloadTooLarge), v.Is(event.InvalidEvent) && (v.Field == "payload" || v.Field == "size"):
		code = packets.ErrPayloadFormatInvalid
	case v.Is(event.InvalidEvent):
		code = packets.ErrImplementationSpecificError
	default:
		code = packets.ErrNotAuthorized
	}
	return packets.Code{Code: code.Code, Reason: v.Code}
}

// unavailability returns how a device is told that there is no verdict: a message that is ambiguous may have been
// counted, one that is not was not.
func unavailability(err error) string {
	if isAmbiguous(err) {
		return "ambiguous"
	}
	return "unavailable"
}

// isAmbiguous reports whether an event without a verdict may have been counted.
func isAmbiguous(err error) bool {
	var unavailable *client.UnavailableError
	return errors.As(err, &unavailable) && unavailable.Ambiguous
}
