package wire

// What an event's members hold beside what meterd asks for may be any JSON. It is checked, not kept.

// jsonDepthMax bounds the nesting of arrays and objects within one value: skip keeps a bit a level.
const jsonDepthMax = 1024

// nesting has a bit for each level of a value: 1 an object, 0 an array.
type nesting [jsonDepthMax / 64]uint64

// set says what the level behind depth is.
func (n *nesting) set(depth int, isObject bool) {
	bit := uint64(1) << (depth % 64)
	if n[depth/64] &^= bit; isObject {
		n[depth/64] |= bit
	}
}

// isObject reports whether the innermost of depth levels is an object.
func (n *nesting) isObject(depth int) bool { return n[(depth-1)/64]>>((depth-1)%64)&1 != 0 }

// skip reads any value.
func (d *decoder) skip(i int) int {
	var levels nesting
	depth := 0
	for {
		// A value begins at i.
		switch c := d.src[i]; c {
		case '{', '[':
			if depth == jsonDepthMax {
				return d.fail(i, "at most 1024 levels of nesting")
			}
			i = d.space(i + 1)
			if d.src[i] == c+2 { // the closing brace or bracket
				i++
				break
			}
			levels.set(depth, c == '{')
			if depth++; c == '{' {
				i = d.skipKey(i)
			}
			if i < 0 {
				return -1
			}
			continue
		default:
			i = d.scalar(i)
		}
		// A value ended before i, and perhaps the levels around it do.
		for {
			if i < 0 || depth == 0 {
				return i
			}
			i = d.space(i)
			if d.src[i] != closer(levels.isObject(depth)) {
				break
			}
			i++
			depth--
		}
		if d.src[i] != ',' {
			return d.fail(i, wantedBehind(levels.isObject(depth)))
		}
		if i = d.space(i + 1); levels.isObject(depth) {
			if i = d.skipKey(i); i < 0 {
				return -1
			}
		}
	}
}

func closer(isObject bool) byte {
	if isObject {
		return '}'
	}
	return ']'
}

func wantedBehind(isObject bool) string {
	if isObject {
		return "a comma or the end of the object"
	}
	return "a comma or the end of the array"
}

// skipKey reads a key, its colon and the space behind it.
func (d *decoder) skipKey(i int) int {
	if d.src[i] != '"' {
		return d.fail(i, "a member's name in quotes")
	}
	if i, _ = d.text(i + 1); i < 0 {
		return -1
	}
	if i = d.space(i + 1); d.src[i] != ':' {
		return d.fail(i, "a colon")
	}
	return d.space(i + 1)
}

// scalar reads a string, a number, true, false or null.
func (d *decoder) scalar(i int) int {
	switch c := d.src[i]; {
	case c == '"':
		if i, _ = d.text(i + 1); i < 0 {
			return -1
		}
		return i + 1
	case c == '-' || isDigit(c):
		return d.number(i)
	case c == 't':
		return d.literal(i, "true")
	case c == 'f':
		return d.literal(i, "false")
	case c == 'n':
		return d.literal(i, "null")
	}
	return d.fail(i, "a value")
}

func (d *decoder) literal(i int, word string) int {
	for k := range len(word) { // byte by byte: the padding ends the comparison
		if d.src[i+k] != word[k] {
			return d.fail(i+k, word)
		}
	}
	return i + len(word)
}

// number reads a number of JSON: an integer without leading zeros, then perhaps a fraction, then perhaps an exponent.
func (d *decoder) number(i int) int {
	src := d.src
	if src[i] == '-' {
		i++
	}
	switch c := src[i]; {
	case c == '0':
		i++
	case isDigit(c):
		i = d.digits(i)
	default:
		return d.fail(i, "a digit")
	}
	if src[i] == '.' {
		if i = d.digits(i + 1); i < 0 {
			return -1
		}
	}
	if src[i]|0x20 == 'e' {
		i++
		if src[i] == '+' || src[i] == '-' {
			i++
		}
		return d.digits(i)
	}
	return i
}

// digits reads at least one.
func (d *decoder) digits(i int) int {
	from := i
	for isDigit(d.src[i]) {
		i++
	}
	if i == from {
		return d.fail(i, "a digit")
	}
	return i
}

func isDigit(c byte) bool { return c-'0' < 10 }
