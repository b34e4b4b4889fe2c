package wire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Hot path: the ends of strings, eight bytes at a time. Escapes are checked here and taken out later, if at all
// (jsonunescape.go): most strings have none, and some that have are in members that nobody asked for.

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special marks, in its high bit, each byte of w that is not simply content: a quote, a backslash, a control character,
// a byte of what is not ASCII. Only the lowest mark is exact: its borrow may set false ones above it. None is set
// without reason, because a byte that is not marked does not borrow.
func special(w uint64) uint64 {
	control := w - eachByte*' '
	quote := (w ^ eachByte*'"') - eachByte
	backslash := (w ^ eachByte*'\\') - eachByte
	return (control | quote | backslash | w) & highBits
}

// specialASCII is special without the marks for what is not ASCII; those bytes do not borrow either.
func specialASCII(w uint64) uint64 { return special(w) &^ w }

// text finds the closing quote of the string whose content begins at i. What is no string of JSON fails: a control
// character, an unknown escape, invalid UTF-8.
func (d *decoder) text(i int) (end int, escaped bool) {
	src := d.src
	for {
		if m := special(binary.LittleEndian.Uint64(src[i:])); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			break
		}
		i += 8
	}
	if src[i] == '"' {
		return i, false
	}
	return d.textOn(i)
}

// textOn is text from the first byte that is neither plain content nor the end.
func (d *decoder) textOn(i int) (end int, escaped bool) {
	src, from, ascii := d.src, i, true
	for {
		w := binary.LittleEndian.Uint64(src[i:])
		m := specialASCII(w)
		if m == 0 {
			ascii = ascii && w&highBits == 0
			i += 8
			continue
		}
		below := m&-m - 1 // of the lowest mark
		ascii = ascii && w&highBits&below == 0
		i += bits.TrailingZeros64(m) >> 3
		switch src[i] {
		case '"':
			if !ascii && !utf8.Valid(src[from:i]) {
				return d.failUTF8(from), false
			}
			return i, escaped
		case '\\':
			escaped = true
			if i = d.escape(i); i < 0 {
				return -1, false
			}
		default:
			return d.fail(i, "the closing quote of a string"), false
		}
	}
}

// escape returns the position behind the escape at i.
func (d *decoder) escape(i int) int {
	switch d.src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if hexDigit(d.src[k]) < 0 {
				return d.fail(k, "four hexadecimal digits")
			}
		}
		return i + 6
	}
	return d.fail(i+1, `one of "\/bfnrtu behind the backslash`)
}

// hexDigit returns the value of c, or -1.
func hexDigit(c byte) rune {
	switch {
	case c-'0' < 10:
		return rune(c - '0')
	case c|0x20-'a' < 6:
		return rune(c|0x20-'a') + 10
	}
	return -1
}

// failUTF8 fails at the first byte at or behind i that is not UTF-8; there is one.
func (d *decoder) failUTF8(i int) int {
	for {
		r, n := utf8.DecodeRune(d.src[i:d.end])
		if r == utf8.RuneError && n < 2 {
			return d.fail(i, "valid UTF-8")
		}
		i += n
	}
}
