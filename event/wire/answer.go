package wire

import (
	"fmt"
	"strconv"

	"github.com/meterd/meterd/event"
)

// AppendResult appends the JSON answer to a batch: {"accepted":n,"denied":[…]}, and "would_deny":[…] if it is not
// empty.
func AppendResult(dst []byte, r *event.Result) []byte {
	dst = append(dst, `{"accepted":`...)
	dst = strconv.AppendInt(dst, int64(r.Accepted), 10)
	dst = append(dst, `,"denied":[`...)
	dst = appendDenials(dst, r.Denials)
	if len(r.WouldDeny) > 0 {
		dst = append(dst, `],"would_deny":[`...)
		dst = appendDenials(dst, r.WouldDeny)
	}
	return append(dst, "]}"...)
}

func appendDenials(dst []byte, list []event.Denial) []byte {
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		d := &list[i]
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(d.Index), 10)
		dst = append(dst, `,"code":"`...)
		dst = append(dst, d.Verdict.Code.String()...)
		dst = append(dst, '"')
		dst = appendMembers(dst, &d.Verdict)
		if d.Verdict.Fault != event.FaultNone {
			dst = append(dst, `,"detail":"`...)
			dst = append(dst, d.Verdict.Fault.Detail()...)
			dst = append(dst, '"')
		}
		dst = append(dst, '}')
	}
	return dst
}

// AppendAccepted appends the JSON answer to one single event that was accepted: {"accepted":1}, and "would_deny":{…} if
// its product only observes.
func AppendAccepted(dst []byte, r *event.Result) []byte {
	dst = append(dst, `{"accepted":1`...)
	if len(r.WouldDeny) > 0 {
		v := &r.WouldDeny[0].Verdict
		dst = append(dst, `,"would_deny":{"code":"`...)
		dst = append(dst, v.Code.String()...)
		dst = appendMembers(append(dst, '"'), v)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// AppendVerdict appends the verdict as an RFC 9457 problem, the answer to one single denied event.
func AppendVerdict(dst []byte, v *event.Verdict) []byte {
	dst = appendProblemHead(dst, v.Code, detail(v))
	dst = appendMembers(dst, v)
	return append(dst, '}')
}

// detail says in numbers what the title says in general.
func detail(v *event.Verdict) string {
	switch {
	case v.Fault != event.FaultNone && v.Fault.Field() != "":
		return v.Fault.Field() + ": " + v.Fault.Detail()
	case v.Fault != event.FaultNone:
		return v.Fault.Detail()
	case v.Code == event.MessageQuotaExceeded:
		return fmt.Sprintf("%d of %d units of the day are used", v.Used, v.Limit)
	case v.Code == event.OTAQuotaExceeded:
		return fmt.Sprintf(
			"%d units are needed; %d of %d of the month are used, and %d are left in packs",
			v.Requested,
			v.Used,
			v.Limit,
			v.TopupAvailable,
		)
	case v.Code == event.Suspended:
		return "the " + v.Scope.String() + " is suspended"
	}
	return v.Code.Title()
}

// appendMembers appends what the code calls for, each member led by a comma.
func appendMembers(dst []byte, v *event.Verdict) []byte {
	num := func(name string, n uint64) {
		dst = append(dst, `,"`...)
		dst = append(dst, name...)
		dst = append(dst, `":`...)
		dst = strconv.AppendUint(dst, n, 10)
	}
	switch v.Code {
	case event.MessageQuotaExceeded:
		num("limit", v.Limit)
		num("used", v.Used)
	case event.OTAQuotaExceeded:
		num("limit", v.Limit)
		num("used", v.Used)
		num("requested", v.Requested)
		num("topup_available", v.TopupAvailable)
	case event.Suspended:
		dst = append(dst, `,"scope":"`...)
		dst = append(dst, v.Scope.String()...)
		return append(dst, '"')
	case event.InvalidEvent, event.PayloadTooLarge:
		if v.Fault.Field() == "" {
			return dst
		}
		dst = append(dst, `,"field":"`...)
		dst = append(dst, v.Fault.Field()...)
		return append(dst, '"')
	default:
		return dst
	}
	dst = append(dst, `,"resets_at":`...)
	return event.AppendTime(dst, v.ResetsAtMs)
}

// AppendProblem appends the problem as application/problem+json.
func AppendProblem(dst []byte, p *event.Problem) []byte {
	dst = appendProblemHead(dst, p.Code, p.Detail)
	if p.Field != "" {
		dst = append(dst, `,"field":`...)
		dst = AppendJSONString(dst, []byte(p.Field))
	}
	if p.Line > 0 {
		dst = append(dst, `,"line":`...)
		dst = strconv.AppendInt(dst, int64(p.Line), 10)
	}
	return append(dst, '}')
}

func appendProblemHead(dst []byte, c event.Code, detail string) []byte {
	dst = append(dst, `{"type":"urn:meterd:problem:`...)
	dst = append(dst, c.String()...)
	dst = append(dst, `","title":"`...)
	dst = append(dst, c.Title()...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(c.Status()), 10)
	if detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = AppendJSONString(dst, []byte(detail))
	}
	dst = append(dst, `,"code":"`...)
	dst = append(dst, c.String()...)
	return append(dst, '"')
}

// AppendJSONString appends s as a JSON string. s must be valid UTF-8; what is not is the caller's to encode otherwise.
func AppendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}
