package event

import "bytes"

// ParseWhole returns the value of a number as JSON writes it, if it is whole and from 0 to most: 120, 120.0, 1.2e2 and
// -0 are, while 1.5, -1 and 1e400 are not. What is no number of JSON is not whole either. It takes time for the bytes
// of number alone, whatever its exponent is.
func ParseWhole(number []byte, most uint64) (n uint64, ok bool) {
	d, ok := splitNumber(number)
	if !ok {
		return 0, false
	}
	// The value is whole, then fraction, as one number, times ten to the power of exponent less the fraction's length.
	whole, fraction := bytes.TrimLeft(d.whole, "0"), bytes.TrimRight(d.fraction, "0")
	exponent := d.exponent - int64(len(fraction))
	if len(fraction) == 0 {
		zeros := len(whole)
		whole = bytes.TrimRight(whole, "0")
		exponent += int64(zeros - len(whole))
	}
	if len(whole) == 0 {
		fraction = bytes.TrimLeft(fraction, "0")
	}
	switch {
	case len(whole)+len(fraction) == 0:
		return 0, true
	case d.negative || exponent < 0:
		return 0, false
	}
	for _, digits := range [...][]byte{whole, fraction} {
		for _, c := range digits {
			if n, ok = timesTen(n, most, c-'0'); !ok {
				return 0, false
			}
		}
	}
	for ; exponent > 0; exponent-- { // n is not 0, so it ends after twenty times.
		if n, ok = timesTen(n, most, 0); !ok {
			return 0, false
		}
	}
	return n, true
}

// timesTen returns ten times n and a digit, if that is at most most.
func timesTen(n, most uint64, digit byte) (uint64, bool) {
	if n > most/10 || uint64(digit) > most-10*n {
		return 0, false
	}
	return 10*n + uint64(digit), true
}

// numberParts is a number of JSON, taken apart: -12.5e3.
type numberParts struct {
	negative        bool
	whole, fraction []byte // digits
	exponent        int64  // at most exponentMax, at least the same below 0
}

// exponentMax is where an exponent is not counted on: no body has the digits that would make up for it.
const exponentMax = 1 << 40

// splitNumber takes a number apart, and reports whether it is one of JSON.
func splitNumber(s []byte) (d numberParts, ok bool) {
	s, d.negative = cutByte(s, '-')
	if d.whole, s = cutDigits(s); len(d.whole) == 0 || d.whole[0] == '0' && len(d.whole) > 1 {
		return d, false
	}
	if rest, has := cutByte(s, '.'); has {
		if d.fraction, s = cutDigits(rest); len(d.fraction) == 0 {
			return d, false
		}
	}
	if len(s) == 0 {
		return d, true
	}
	if s[0]|0x20 != 'e' {
		return d, false
	}
	s, isBelow := cutByte(s[1:], '-')
	if !isBelow {
		s, _ = cutByte(s, '+')
	}
	digits, s := cutDigits(s)
	for _, c := range digits {
		d.exponent = min(10*d.exponent+int64(c-'0'), exponentMax)
	}
	if isBelow {
		d.exponent = -d.exponent
	}
	return d, len(digits) > 0 && len(s) == 0
}

// cutByte returns s without c at its beginning, and whether it was there.
func cutByte(s []byte, c byte) (rest []byte, has bool) {
	if len(s) > 0 && s[0] == c {
		return s[1:], true
	}
	return s, false
}

// cutDigits returns the digits that s begins with, and the rest.
func cutDigits(s []byte) (digits, rest []byte) {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n], s[n:]
}
