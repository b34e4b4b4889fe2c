package event

import (
	"fmt"
	"strconv"
	"time"
)

// AppendTime appends a time in RFC 3339, UTC, quoted; milliseconds only when there are some.
func AppendTime(dst []byte, unixMs int64) []byte {
	dst = append(dst, '"')
	t := time.UnixMilli(unixMs).UTC()
	if unixMs%1000 == 0 {
		dst = t.AppendFormat(dst, "2006-01-02T15:04:05Z")
	} else {
		dst = t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return append(dst, '"')
}

// AppendResult appends the JSON answer to a batch: {"accepted":n,"denied":[…]}.
func AppendResult(dst []byte, r *Result) []byte {
	dst = append(dst, `{"accepted":`...)
	dst = strconv.AppendInt(dst, int64(r.Accepted), 10)
	dst = append(dst, `,"denied":[`...)
	for i := range r.Denials {
		if i > 0 {
			dst = append(dst, ',')
		}
		d := &r.Denials[i]
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(d.Index), 10)
		dst = append(dst, `,"code":"`...)
		dst = append(dst, d.Verdict.Code.String()...)
		dst = append(dst, '"')
		dst = d.Verdict.appendMembers(dst)
		if d.Verdict.Fault != FaultNone {
			dst = append(dst, `,"detail":"`...)
			dst = append(dst, d.Verdict.Fault.Detail()...)
			dst = append(dst, '"')
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// AppendProblem appends the verdict as an RFC 9457 problem, the answer to one single denied event.
func (v *Verdict) AppendProblem(dst []byte) []byte {
	dst = appendProblemHead(dst, v.Code, v.detail())
	dst = v.appendMembers(dst)
	return append(dst, '}')
}

// detail says in numbers what the title says in general.
func (v *Verdict) detail() string {
	switch {
	case v.Fault != FaultNone && v.Fault.Field() != "":
		return v.Fault.Field() + ": " + v.Fault.Detail()
	case v.Fault != FaultNone:
		return v.Fault.Detail()
	case v.Code == MessageQuotaExceeded:
		return fmt.Sprintf("%d of %d units of the day are used", v.Used, v.Limit)
	case v.Code == OTAQuotaExceeded:
		return fmt.Sprintf(
			"%d units are needed; %d of %d of the month are used, and %d are left in packs",
			v.Requested,
			v.Used,
			v.Limit,
			v.TopupAvailable,
		)
	case v.Code == Suspended:
		return "the " + v.Scope.String() + " is suspended"
	}
	return v.Code.Title()
}

// appendMembers appends what the code calls for, each member led by a comma.
func (v *Verdict) appendMembers(dst []byte) []byte {
	num := func(name string, n uint64) {
		dst = append(dst, `,"`...)
		dst = append(dst, name...)
		dst = append(dst, `":`...)
		dst = strconv.AppendUint(dst, n, 10)
	}
	switch v.Code {
	case MessageQuotaExceeded:
		num("limit", v.Limit)
		num("used", v.Used)
	case OTAQuotaExceeded:
		num("limit", v.Limit)
		num("used", v.Used)
		num("requested", v.Requested)
		num("topup_available", v.TopupAvailable)
	case Suspended:
		dst = append(dst, `,"scope":"`...)
		dst = append(dst, v.Scope.String()...)
		return append(dst, '"')
	case InvalidEvent, PayloadTooLarge:
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
	return AppendTime(dst, v.ResetsAtMs)
}

// Problem is a refused request as RFC 9457 has it. Line (from 1) and Field are given where a body was refused.
type Problem struct {
	Code   Code
	Detail string
	Field  string
	Line   int
}

// Error makes a Problem an error, so that a refusal travels as one.
func (p *Problem) Error() string { return p.Code.String() + ": " + p.Detail }

// AppendJSON appends the problem as application/problem+json.
func (p *Problem) AppendJSON(dst []byte) []byte {
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

func appendProblemHead(dst []byte, c Code, detail string) []byte {
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
