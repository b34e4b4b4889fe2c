package bench

import "encoding/binary"

// Hot path: the loader runs on the daemon's own cores and takes its CPU time from the daemon. So events are copies of
// templates, and only digits are written, eight at a time in one word: about 3 ns a word.

// deviceDigits is the number of digits in a device's name.
const deviceDigits = 7

// devicePrefix begins each device's name. Its last byte and the digits are one word.
const devicePrefix = "dev-"

// deviceName returns the name of a device.
func deviceName(device int) string {
	name := append([]byte(devicePrefix), make([]byte, deviceDigits)...)
	writeDevice(name[len(devicePrefix)-1:], int32(device))
	return string(name)
}

const (
	lowBits   = 0x0101010101010101 // the lowest bit of each byte
	lowNibble = 0x0f * lowBits
	zeros     = '0' * lowBits
)

// eightDecimals returns the eight decimal digits of n, below 10⁸, the first one in the lowest byte.
func eightDecimals(n uint32) uint64 {
	fours := uint64(n/10_000) | uint64(n%10_000)<<32
	hundreds := fours * 10_486 >> 20 & 0x7f0000007f // Divided by 100, in both halves.
	twos := hundreds | (fours-100*hundreds)<<16
	tens := twos * 103 >> 10 & 0x000f000f000f000f // Divided by 10, in all four.
	return tens | (twos-10*tens)<<8 | zeros
}

// eightHex returns the eight hexadecimal digits of n, the last one in the lowest byte.
func eightHex(n uint32) uint64 {
	v := uint64(n)
	v = (v | v<<16) & 0x0000ffff0000ffff
	v = (v | v<<8) & 0x00ff00ff00ff00ff
	v = (v | v<<4) & lowNibble
	letters := (v + 6*lowBits) >> 4 & lowBits // 1 in each byte that is ten or more
	return v + zeros + letters*('a'-'9'-1)
}

// writeDevice writes the last prefix byte and the digits of a device's name to dst.
func writeDevice(dst []byte, device int32) {
	const first = 0xff
	binary.LittleEndian.PutUint64(dst, eightDecimals(uint32(device))&^first|uint64(devicePrefix[len(devicePrefix)-1]))
}

// writeSize writes the three digits of a size.
func writeSize(dst []byte, size uint16) {
	_ = dst[2]
	dst[0], dst[1], dst[2] = '0'+byte(size/100), '0'+byte(size/10%10), '0'+byte(size%10)
}

// writeHex fills dst with fresh hexadecimal digits.
func writeHex(dst []byte, from *draws) {
	for len(dst) >= 16 {
		number := from.next()
		binary.LittleEndian.PutUint64(dst, eightHex(uint32(number)))
		binary.LittleEndian.PutUint64(dst[8:], eightHex(uint32(number>>32)))
		dst = dst[16:]
	}
	var rest [16]byte
	if len(dst) > 0 {
		writeHex(rest[:], from)
		copy(dst, rest[:])
	}
}
