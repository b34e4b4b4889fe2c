package wire

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/meterd/meterd/event"
)

// unescape appends to the batch what the content of a JSON string stands for, which is never longer than the content.
// Its escapes were checked (decoder.escape). Half a surrogate pair becomes U+FFFD, as encoding/json has it.
//
// Eight bytes are copied at a time, those behind a backslash in vain: the padding lets src be read, and the room that
// is grown lets the batch be written, up to seven bytes too far.
func (d *decoder) unescape(content event.Ref) event.Ref {
	b, src := d.batch, d.src
	i, to := int(content.Off), int(content.Off+content.Len)
	from := len(b.Data)
	b.Data = slices.Grow(b.Data, int(content.Len)+8)
	out := b.Data[from : from+int(content.Len)+8]
	n := 0
	for i < to {
		w := binary.LittleEndian.Uint64(src[i:])
		binary.LittleEndian.PutUint64(out[n:], w)
		w ^= eachByte * '\\'
		m := (w - eachByte) &^ w & highBits
		if m == 0 {
			i, n = i+8, n+8
			continue
		}
		plain := bits.TrailingZeros64(m) >> 3
		if i, n = i+plain, n+plain; i >= to {
			break // the backslash is none of this string's
		}
		if c := src[i+1]; c != 'u' {
			out[n] = unescapeByte(c)
			i, n = i+2, n+1
			continue
		}
		r, read := unescapeRune(src[i:to])
		i, n = i+read, n+utf8.EncodeRune(out[n:], r)
	}
	n -= i - to // what was copied too far
	b.Data = b.Data[:from+n]
	return event.Ref{Off: uint32(from), Len: uint32(n)}
}

// unescapeByte returns what a backslash and c stand for.
func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a slash, a backslash
}

// unescapeRune returns what the escape \uXXXX that s begins with stands for, with the one behind it if the two are a
// pair, and how many bytes that was.
func unescapeRune(s []byte) (r rune, read int) {
	const one, pair = len(`\uXXXX`), len(`\uXXXX\uXXXX`)
	r = hex4(s[2:])
	if !utf16.IsSurrogate(r) {
		return r, one
	}
	if len(s) >= pair && s[one] == '\\' && s[one+1] == 'u' {
		if r = utf16.DecodeRune(r, hex4(s[one+2:])); r != utf8.RuneError {
			return r, pair
		}
	}
	return utf8.RuneError, one
}

func hex4(s []byte) rune {
	return hexDigit(s[0])<<12 | hexDigit(s[1])<<8 | hexDigit(s[2])<<4 | hexDigit(s[3])
}
