package persist

const (
	// tableNamesMax bounds the names of one table, the unit of copying: it has 128 or 256 slots of 32 bytes then.
	tableNamesMax = 128
	// tableSlotsMin is the size of the smallest table: most products have a handful of orders.
	tableSlotsMin = 2
	// depthMax bounds the directory to 2^20 tables, far beyond what any owner of a map allows; a table that cannot be
	// split grows instead.
	depthMax = 20
	// chunkLen is how many elements of a list are copied at a time: 2 KiB of pointers.
	chunkLen = 256
)
