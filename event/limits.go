package event

// Every bound of the contract, each with the reason for its size.
const (
	// BodyBytesMax bounds a request after inflation: a batch is held in memory from its first byte to its answer.
	BodyBytesMax = 64 << 20
	// EventsMax bounds the events of a batch: a batch is decided whole inside one group of the log.
	EventsMax = 65536
	// PayloadBytesMax bounds one payload; a larger one denies its event alone.
	PayloadBytesMax = 256 << 10
	// NameBytesMax bounds products, devices, accounts, producers, orders and ids.
	NameBytesMax = 64
	// TopicBytesMax bounds a topic.
	TopicBytesMax = 256
	// MessageBytesMax bounds the claimed size of a message; above it a size is a mistake, not a message.
	MessageBytesMax = 1<<31 - 1
	// OTABytesMax bounds the size of a firmware package.
	OTABytesMax = 1 << 40
	// MessagesPerDayMax is the most that a plan can allow and what "no limit" means; it fits the 25 bits that the device
	// table has for each direction (R10).
	MessagesPerDayMax = 16_000_000
	// PackUnitsPerMonthMax is the most units that one device may draw from top-up packs in a month: 16 bits of its word.
	PackUnitsPerMonthMax = 65_535
	// ProducersPerAccountMax bounds the names of gateways that are remembered.
	ProducersPerAccountMax = 10_000

	// retryAfterMinSeconds and retryAfterSpreadSeconds make the jittered Retry-After of a 503.
	retryAfterMinSeconds    = 1
	retryAfterSpreadSeconds = 4
)

// nameByte marks the bytes that a name may consist of.
var nameByte = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "._:-" {
		t[c] = true
	}
	return t
}()

// IsNameByte reports whether c may stand in a name.
func IsNameByte(c byte) bool { return nameByte[c] }

// ValidName reports whether b is 1 to NameBytesMax bytes of A-Z a-z 0-9 . _ : -
func ValidName(b []byte) bool {
	if len(b) == 0 || len(b) > NameBytesMax {
		return false
	}
	ok := true // No branch a byte: names are valid, and as long as they like.
	for _, c := range b {
		ok = ok && nameByte[c]
	}
	return ok
}
