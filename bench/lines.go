package bench

import "encoding/binary"

// Hot path: the lines of a batch. Each is a copy of its template with the digits written over: about 20 ns. The loader runs on the
// daemon's own cores, and what it spends here the daemon does not have.

// deviceDigits is how many digits a device's name has.
const deviceDigits = 7

// devicePrefix begins each device's name.
const devicePrefix = "dev-"

// deviceName returns the name of a device.
func deviceName(device int) string {
	return string(append([]byte(devicePrefix), digits(device, deviceDigits)...))
}

func digits(n, width int) []byte {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// lines appends events as NDJSON. It is not safe for concurrent use.
type lines struct {
	connect, up, down template
	payloadBytes      int
	payload           draws
	pairs             *[100][2]byte // the decimal numbers of two digits
	hex               *[256][2]byte // the bytes in hexadecimal
}

// template is a line with its digits blank.
type template struct {
	text   []byte
	device int // where the device's digits are
	size   int // where the three digits of the size are, 0 for a line without
	hex    int // where the payload is
}

func newLines(product string, payloadBytes int, payload draws) *lines {
	l := &lines{payloadBytes: payloadBytes, payload: payload, pairs: &[100][2]byte{}, hex: &[256][2]byte{}}
	for i := range l.pairs {
		l.pairs[i] = [2]byte(digits(i, 2))
	}
	for i := range l.hex {
		const letters = "0123456789abcdef"
		l.hex[i] = [2]byte{letters[i>>4], letters[i&15]}
	}
	l.connect = newTemplate("connect", product, false, 0)
	l.up = newTemplate("up", product, true, payloadBytes)
	l.down = newTemplate("down", product, true, payloadBytes)
	return l
}

func newTemplate(kind, product string, message bool, payloadBytes int) (t template) {
	t.text = append(t.text, `{"type":"`+kind+`","product":"`+product+`","device":"`+devicePrefix...)
	t.device = len(t.text)
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

// appendConnect appends the first or another connect of a device.
func (l *lines) appendConnect(dst []byte, device int) []byte {
	at := len(dst)
	dst = append(dst, l.connect.text...)
	l.writeDevice(dst[at+l.connect.device:], device)
	return dst
}

// appendMessage appends a message. With a payload its length is the size.
func (l *lines) appendMessage(dst []byte, m message) []byte {
	t := &l.up
	if m.down {
		t = &l.down
	}
	at := len(dst)
	dst = append(dst, t.text...)
	line := dst[at:]
	l.writeDevice(line[t.device:], m.device)
	if t.size > 0 {
		line[t.size] = byte('0' + m.size/100)
		copy(line[t.size+1:], l.pairs[m.size%100][:])
		return dst
	}
	l.writeHex(line[t.hex : t.hex+l.payloadBytes])
	return dst
}

func (l *lines) writeDevice(dst []byte, device int) {
	_ = dst[deviceDigits-1]
	n := uint32(device)
	low, high := n%10000, n/10000
	dst[0] = byte('0' + high/100)
	copy(dst[1:3], l.pairs[high%100][:])
	copy(dst[3:5], l.pairs[low/100][:])
	copy(dst[5:7], l.pairs[low%100][:])
}

// writeHex fills dst with fresh digits.
func (l *lines) writeHex(dst []byte) {
	var word [16]byte
	for len(dst) > 0 {
		var number [8]byte
		binary.LittleEndian.PutUint64(number[:], l.payload.next())
		for i, b := range number {
			copy(word[2*i:], l.hex[b][:])
		}
		dst = dst[copy(dst, word[:]):]
	}
}
