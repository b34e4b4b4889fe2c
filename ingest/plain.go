package ingest

import (
	"bytes"
	"net/netip"
)

// Hot path: the header of a single event.

// plainLine begins a plain request.
const plainLine = "POST /v1/events HTTP/1.1\r\n"

// plain is a request for POST /v1/events that a loop can read: its body has a known length and no encoding, and its
// connection stays open. Its fields point into the bytes that were read. A plain request is read here exactly as
// fasthttp reads it (FuzzPlainIsWhatFasthttpReads). Every other request, malformed ones included, is left to fasthttp.
type plain struct {
	authorization, contentType, producer, sequence field
	body                                           []byte

	host, length, connection field
}

// shape says whether the bytes read from a connection begin with a plain request.
type shape int

const (
	isForeign shape = iota // they do not
	isPartial              // perhaps: there are too few
	isPlain
)

// parse reads the request that b begins with. n is its length if it is a plain one.
func (p *plain) parse(b []byte) (n int, is shape) {
	*p = plain{}
	if len(b) < len(plainLine) {
		if plainLine[:len(b)] == string(b) {
			return 0, isPartial
		}
		return 0, isForeign
	}
	if string(b[:len(plainLine)]) != plainLine {
		return 0, isForeign
	}
	n = len(plainLine)
	for {
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			return 0, isPartial
		}
		line := b[n : n+end]
		n += end + 1
		if end == 0 || line[end-1] != '\r' {
			return 0, isForeign
		}
		if end == 1 {
			break
		}
		if !p.take(line[:end-1]) {
			return 0, isForeign
		}
	}
	length, ok := p.bodyBytes()
	switch {
	case !ok || p.host.times == 0 || n+length > plainBytesMax:
		return 0, isForeign
	case n+length > len(b):
		return 0, isPartial
	}
	p.body = b[n : n+length]
	return n + length, isPlain
}

// bodyBytes returns the Content-Length, which must be positive.
func (p *plain) bodyBytes() (n int, ok bool) {
	v := p.length.value
	if len(v) == 0 || len(v) > 5 || v[0] == '0' {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// take reads a line of the header and reports whether the request may still be plain.
func (p *plain) take(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	name, value := line[:colon], line[colon+1:]
	for _, c := range name {
		if !isNameByte[c] {
			return false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	f := p.fieldOf(name)
	if f == nil {
		return !changesFraming(name)
	}
	f.value = bytes.Trim(value, " \t")
	f.times++
	return f.times == 1 && (f != &p.connection || same(f.value, "keep-alive")) && (f != &p.host || isHost(f.value))
}

// isHost reports whether v is a name or an address, and perhaps a port, that every parser accepts.
func isHost(v []byte) bool {
	end := 0
	if len(v) > 0 && v[0] == '[' {
		end = bytes.IndexByte(v, ']') + 1
		if end == 0 {
			return false
		}
		if a, err := netip.ParseAddr(string(v[1 : end-1])); err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
	} else {
		for end < len(v) && (isAlphanumeric(v[end]) || v[end] == '.' || v[end] == '-' || v[end] == '_') {
			end++
		}
	}
	port := v[end:]
	if end == 0 || len(port) == 1 || len(port) > 6 || (len(port) > 0 && port[0] != ':') {
		return false
	}
	for i := 1; i < len(port); i++ {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// fieldOf returns where to keep the header field called name; nil if the answer does not depend on it.
func (p *plain) fieldOf(name []byte) *field {
	switch len(name) {
	case len("host"):
		return p.ifSame(name, "host", &p.host)
	case len("connection"):
		return p.ifSame(name, "connection", &p.connection)
	case len("content-type"):
		return p.ifSame(name, "content-type", &p.contentType)
	case len("authorization"):
		return p.ifSame(name, "authorization", &p.authorization)
	case len("content-length"):
		return p.ifSame(name, "content-length", &p.length)
	case len("meterd-producer"):
		if f := p.ifSame(name, "meterd-producer", &p.producer); f != nil {
			return f
		}
		return p.ifSame(name, "meterd-sequence", &p.sequence)
	}
	return nil
}

func (p *plain) ifSame(name []byte, want string, f *field) *field {
	if same(name, want) {
		return f
	}
	return nil
}

// same reports whether name is want, which is in lower case, in any case. Names have only bytes for which a set bit 5
// means nothing else.
func same(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i, c := range name {
		if c|0x20 != want[i] {
			return false
		}
	}
	return true
}

// changesFraming reports whether a header field could change how the request, or the connection after it, is read; the
// attributes of a CloudEvent say that the body is not a batch. All other fields are ignored.
func changesFraming(name []byte) bool {
	switch name[0] | 0x20 {
	case 'c':
		return len(name) > 8 && same(name[:8], "content-") || same(name, "cookie") || len(name) > 3 && same(name[:3], "ce-")
	case 'e':
		return same(name, "expect")
	case 'k':
		return same(name, "keep-alive")
	case 'p':
		return len(name) > 6 && same(name[:6], "proxy-")
	case 't':
		return same(name, "te") || same(name, "trailer") || same(name, "transfer-encoding")
	case 'u':
		return same(name, "upgrade")
	}
	return false
}

// isNameByte is true for the bytes that the name of a field may have (RFC 9110, token).
var isNameByte = func() (is [256]bool) {
	for c := range 128 {
		is[c] = isAlphanumeric(byte(c)) || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return is
}()
