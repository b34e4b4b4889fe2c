package usage

import "time"

const (
	// licenseBlockRows is how many licence rows one entry of the ledger holds at most: what a page of a list reads.
	licenseBlockRows = 1000
	// transactionBytes is how much is gathered before a transaction is written: half of what one takes for certain.
	transactionBytes = 512 << 10
	// rowBytes is what a row counts beside its bytes: a key and an entry of Badger's.
	rowBytes = 64
	// upgradesKept is how long OTA ids are kept: until the end of the month after theirs (R17), in any time zone.
	upgradesKept = 64 * 24 * time.Hour
	// answersKept is how long answers are kept: sequences are remembered for 24 hours.
	answersKept = 25 * time.Hour
)
