package bench

import (
	"bytes"
	"errors"
)

// response is an HTTP response. It is parsed by hand, since the loader shares its cores with the server.
type response struct {
	status int
	body   []byte // within the bytes that were parsed
	close  bool   // the server closes the connection after it
}

var (
	errResponse     = errors.New("the answer is not well-formed HTTP/1.1 with a Content-Length")
	errResponseLong = errors.New("the answer is too long")
)

var headEnd = []byte("\r\n\r\n")

// parseResponse parses the response at the beginning of b and returns its length, 0 if it is not complete. It accepts
// what these servers send: a status line, a header with one Content-Length, and a body of that length; or the status
// 204 and no body.
func parseResponse(b []byte) (r response, n int, err error) {
	head := bytes.Index(b, headEnd)
	if head < 0 {
		if len(b) > answerBytesMax {
			return r, 0, errResponseLong
		}
		return r, 0, nil
	}
	line, rest := cutLine(b[:head])
	if r.status = statusOf(line); r.status == 0 || isBroken(line) {
		return r, 0, errResponse
	}
	length := -1
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || isBroken(line) {
			return r, 0, errResponse
		}
		value = bytes.TrimSpace(value)
		switch {
		case isHeader(name, "content-length"):
			if length >= 0 {
				return r, 0, errResponse
			}
			if length = decimal(value); length < 0 {
				return r, 0, errResponse
			}
		case isHeader(name, "transfer-encoding"):
			return r, 0, errResponse
		case isHeader(name, "connection"):
			r.close = bytes.EqualFold(value, []byte("close"))
		}
	}
	if r.status == 204 && length < 0 {
		length = 0 // This status has no body.
	}
	from := head + len(headEnd)
	switch {
	case length < 0:
		return r, 0, errResponse
	case length > answerBytesMax:
		return r, 0, errResponseLong
	case len(b)-from < length:
		return response{}, 0, nil
	}
	r.body = b[from : from+length : from+length]
	return r, from + length, nil
}

// cutLine returns the first line of b without its end, and the rest.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, headEnd[:2])
	return line, rest
}

// isBroken reports whether a lone CR or LF is within the line. Another parser could see two lines there.
func isBroken(line []byte) bool {
	return bytes.IndexByte(line, '\n') >= 0 || bytes.IndexByte(line, '\r') >= 0
}

// isHeader compares names of headers without regard to case. The length decides almost always.
func isHeader(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// statusOf returns the status of a status line, 0 if the line is none.
func statusOf(line []byte) int {
	const version = "HTTP/1.1 "
	const end = len(version) + 3
	if len(line) < end || string(line[:len(version)]) != version || len(line) > end && line[end] != ' ' {
		return 0
	}
	status := decimal(line[len(version):end])
	if status < 100 {
		return 0
	}
	return status
}

// decimal returns the number that b is, -1 if it is none or over a billion.
func decimal(b []byte) int {
	if len(b) == 0 || len(b) > 9 {
		return -1
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
