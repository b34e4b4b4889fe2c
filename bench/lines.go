package bench

// Hot path: the lines of a batch, about 20 ns each.

// lines encodes events as NDJSON. It is not safe for concurrent use.
type lines struct {
	templates    [down + 1]template
	payloadBytes int
	payload      draws
}

// template is a line with its digits blank.
type template struct {
	text   []byte
	device int // offset of the last byte before the device's digits
	size   int // offset of the three digits of the size; 0: there is none
	hex    int // offset of the payload
}

func newLines(product string, payloadBytes int, payload draws) *lines {
	l := &lines{payloadBytes: payloadBytes, payload: payload}
	l.templates = [...]template{
		connect: newTemplate("connect", product, false, 0),
		up:      newTemplate("up", product, true, payloadBytes),
		down:    newTemplate("down", product, true, payloadBytes),
	}
	return l
}

func newTemplate(kind, product string, message bool, payloadBytes int) (t template) {
	t.text = append(t.text, `{"type":"`+kind+`","product":"`+product+`","device":"`+devicePrefix...)
	t.device = len(t.text) - 1
	t.text = append(t.text, make([]byte, deviceDigits)...)
	t.text = append(t.text, '"')
	switch {
	case payloadBytes > 0:
		t.text = append(t.text, `,"payload":"`...)
		t.hex = len(t.text)
		t.text = append(t.text, make([]byte, payloadBytes)...)
		t.text = append(t.text, '"')
	case message:
		t.text = append(t.text, `,"size":`...)
		t.size = len(t.text)
		t.text = append(t.text, 0, 0, 0)
	}
	t.text = append(t.text, "}\n"...)
	return t
}

// appendBatch appends a line for each event. A line with a payload has no size: it is the payload's length.
func (l *lines) appendBatch(dst []byte, batch []message) []byte {
	for _, m := range batch {
		t := &l.templates[m.kind]
		at := len(dst)
		dst = append(dst, t.text...)
		line := dst[at:]
		writeDevice(line[t.device:], m.device)
		switch {
		case t.size > 0:
			writeSize(line[t.size:], m.size)
		case t.hex > 0:
			writeHex(line[t.hex:t.hex+l.payloadBytes], &l.payload)
		}
	}
	return dst
}
