package parts

const (
	// recordBytesMax bounds a record: a product with its plan and the longest names takes a kilobyte.
	recordBytesMax = 64 << 10
	// bufferBytes is what is gathered of a stream: some thousand rows.
	bufferBytes = 64 << 10
)
