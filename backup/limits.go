package backup

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// copyBytes is what is read of a file at a time; between two it is looked at whether the copy must end.
	copyBytes = 256 << 10
	// rowsBytes is when a part of rows is ended: it is gathered in memory, since a file's size comes before it. A row is
	// at most 32 MB, and is then a part of its own.
	rowsBytes = 4 << 20
	// rowBytesMax bounds a row that is read: a key of 60,000 bytes and a value of 32 MB, as the ledger has them.
	rowBytesMax = 33 << 20
	// filesMax bounds the files of a copy: a daily snapshot of seven files for a century is a quarter of it.
	filesMax = 1 << 20
	// manifestBytesMax bounds a manifest, which is read whole: some 150 bytes a file.
	manifestBytesMax = 256 << 20
	// versionBytesMax bounds the file VERSION, which has 50 bytes.
	versionBytesMax = 4 << 10
	// nameBytesMax bounds the name of a file.
	nameBytesMax = 256
	// spareBytes must be free on the disk beside what a restored directory takes: indexes, and the ledger's own files.
	spareBytes = 256 << 20
	// removeWithin is how long what a failed copy has left may take to be removed.
	removeWithin = time.Minute
)
