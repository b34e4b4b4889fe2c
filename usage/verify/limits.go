package verify

// Every bound of the package, each with the reason for its size.
const (
	// rawBytesMax bounds an inflated chunk: what the log's format allows.
	rawBytesMax = 192 << 20
	// productMax is the largest number of a product: 24 bits of a device's entry.
	productMax = 1<<24 - 1
	// groupsAhead is how many decoded groups wait for being recounted. A group is 10,000 rows or one huge request.
	groupsAhead = 4
	// rowsKept bounds the rows that the memory of a decoded group keeps for the next one: 72 bytes each.
	rowsKept = 1 << 18
	// dayBlockRows bounds a block of device-days, and planeBytesMax what one column of it inflates to.
	dayBlockRows  = 4096
	planeBytesMax = 64 << 10
	// lineBytesMax bounds a line of a CSV: names have 64 bytes, and there are some 30 columns.
	lineBytesMax = 64 << 10
	// readBytes is what is read of a file at once.
	readBytes = 256 << 10
	// findAhead is how many devices are looked up before their rows are recounted, so that cache misses overlap.
	findAhead = 256
)
