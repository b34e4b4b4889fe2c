package parquetlog

// Every bound of the package, each with the reason for its size.
const (
	// groupRows and groupBytes end a row group, which the writer holds in memory: so many rows, or so many bytes of texts
	// and payloads before they are compressed, beside one row that is larger.
	groupRows  = 64 << 10
	groupBytes = 8 << 20
	// groupsMax bounds what the footer says, and with it the memory that grows with the file: 13 KB a row group, 53 MB.
	// So many groups have 268 million rows: whoever wants more asks for some days at a time.
	groupsMax = 4 << 10
	// batchRows and batchBytes are what passes to the columns at once: enough that the cost of a call is spread thin, and
	// little against a row group. One row has 256 KiB of payload and 320 bytes of names at most.
	batchRows  = 512
	batchBytes = 512 << 10
	// writeBytes is what passes to the output at once: columns are written in pages, some of them of a few bytes.
	writeBytes = 256 << 10
)
