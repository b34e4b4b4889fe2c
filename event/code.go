package event

// Code says why an event was denied or a call refused. The numbers are written to disk and never change.
type Code uint8

// The codes of the contract. Accepted is the only one that grants anything.
const (
	Accepted             Code = 0
	MessageQuotaExceeded Code = 1  // R10
	OTAQuotaExceeded     Code = 2  // R16
	LicenseExhausted     Code = 3  // R3
	NotActivated         Code = 4  // R3
	RenewalOff           Code = 5  // R19
	Suspended            Code = 6  // R20
	UnknownProduct       Code = 7  // no such product, or another account's
	UnknownOTA           Code = 8  // R17
	AlreadyVoided        Code = 9  // R17
	OTAIDReused          Code = 10 // R17
	PayloadTooLarge      Code = 11
	InvalidEvent         Code = 12

	// Codes of refused requests; they never stand in a record.
	BadRequest          Code = 32
	Unauthorized        Code = 33
	Forbidden           Code = 34
	NotFound            Code = 35
	MethodNotAllowed    Code = 36
	AlreadyExists       Code = 37
	OtherRegion         Code = 38
	Overloaded          Code = 39
	ClockLeap           Code = 40
	BodyTooLarge        Code = 41
	UnsupportedMedia    Code = 42
	PlanMismatch        Code = 43 // R9
	PlanDowngrade       Code = 44 // R9
	OrderReused         Code = 45 // R8
	AlreadyConsumed     Code = 46 // R8
	TooManyProducers    Code = 47
	DiskFull            Code = 48
	InternalError       Code = 49
	InvalidArgument     Code = 50
	UnknownField        Code = 51
	TooManyLicenses     Code = 52
	UnsupportedEncoding Code = 53
	LastAdmin           Code = 54
	SequenceTooOld      Code = 55
	SequenceReused      Code = 56
	RequestTimeout      Code = 57
	OutOfMemory         Code = 58
	TotalsDiffer        Code = 59
	RangeOutside        Code = 60
	ClusterRefused      Code = 61
)

// Codes is one more than the largest Code.
const Codes = 62

type codeRow struct {
	name, title string
	status      int
}

var codeTable = [Codes]codeRow{
	Accepted:             {"accepted", "Accepted", 200},
	MessageQuotaExceeded: {"message_quota_exceeded", "The device has used its messages of the day", 429},
	OTAQuotaExceeded: {
		"ota_quota_exceeded",
		"The device's OTA units and the product's packs do not cover the upgrade",
		429,
	},
	LicenseExhausted: {"license_exhausted", "No licence is left for the device", 403},
	NotActivated:     {"not_activated", "The device must connect first", 403},
	RenewalOff:       {"renewal_off", "The device's licence has ended and is not renewed", 403},
	Suspended:        {"suspended", "The device, its product or its account is suspended", 403},
	UnknownProduct:   {"unknown_product", "No such product", 404},
	UnknownOTA:       {"unknown_ota", "No OTA with this id", 409},
	AlreadyVoided:    {"already_voided", "The OTA with this id was voided", 409},
	OTAIDReused:      {"ota_id_reused", "The OTA with this id had another size", 409},
	PayloadTooLarge:  {"payload_too_large", "The payload is over 256 KiB", 413},
	InvalidEvent:     {"invalid_event", "The event is not valid", 400},

	SequenceTooOld:      {"sequence_too_old", "The sequence is no longer remembered", 409},
	SequenceReused:      {"sequence_reused", "The sequence was sent with another body", 422},
	RequestTimeout:      {"request_timeout", "The request took too long to arrive", 408},
	BadRequest:          {"bad_request", "The request cannot be read", 400},
	Unauthorized:        {"unauthorized", "A valid bearer token is needed", 401},
	Forbidden:           {"forbidden", "The token does not allow this", 403},
	NotFound:            {"not_found", "Not found", 404},
	MethodNotAllowed:    {"method_not_allowed", "Method not allowed", 405},
	AlreadyExists:       {"already_exists", "It exists already", 409},
	OtherRegion:         {"other_region", "The account belongs to another region", 422},
	Overloaded:          {"overloaded", "Too much load", 503},
	ClockLeap:           {"clock_leap", "The clock leapt ahead; ingest is stopped", 503},
	BodyTooLarge:        {"body_too_large", "The body or the batch is too large", 413},
	UnsupportedMedia:    {"unsupported_media_type", "The content type is not supported", 415},
	PlanMismatch:        {"plan_mismatch", "The lot names another plan than the product has", 409},
	PlanDowngrade:       {"plan_downgrade", "An upgrade may not lower any value of the plan", 409},
	OrderReused:         {"order_reused", "The order was used for something else", 409},
	AlreadyConsumed:     {"already_consumed", "More was consumed than can be taken back", 409},
	TooManyProducers:    {"too_many_producers", "The account has too many producers", 409},
	DiskFull:            {"overloaded", "The disk is nearly full", 503},
	OutOfMemory:         {"overloaded", "There is no memory for new devices; they are refused", 503},
	InternalError:       {"internal_error", "Internal error", 500},
	InvalidArgument:     {"invalid_argument", "A value is not valid", 400},
	UnknownField:        {"unknown_field", "The field is not known", 400},
	TooManyLicenses:     {"too_many_licenses", "A product holds fewer than 2^32 licences", 409},
	UnsupportedEncoding: {"unsupported_encoding", "The content encoding is not supported", 415},
	TotalsDiffer:        {"totals_differ", "Rows, totals and ledger of usage are not equal", 500},
	RangeOutside:        {"range_not_satisfiable", "The file has nothing within the range", 416},
	ClusterRefused:      {"cluster_refused", "The cluster cannot do this now", 409},
	LastAdmin:           {"last_admin", "The last token that can administer everything cannot be deleted", 409},
}

func (c Code) row() *codeRow {
	if int(c) >= len(codeTable) || codeTable[c].name == "" {
		return &codeTable[InternalError]
	}
	return &codeTable[c]
}

// EventCodes returns the codes that an event can be answered with, Accepted among them.
func EventCodes() []Code {
	codes := make([]Code, 0, InvalidEvent+1)
	for c := Accepted; c <= InvalidEvent; c++ {
		codes = append(codes, c)
	}
	return codes
}

// IsQuota reports whether an event with this code was denied by a quota: the answer names limit, used and reset.
func (c Code) IsQuota() bool { return c == MessageQuotaExceeded || c == OTAQuotaExceeded }

// String returns the stable wire name.
func (c Code) String() string { return c.row().name }

// Title returns a sentence for people, without a full stop.
func (c Code) Title() string { return c.row().title }

// Status returns the HTTP status of a single answer or refusal with this code.
func (c Code) Status() int { return c.row().status }

// Fault says which field of an event the decoder refused and why.
type Fault uint8

// The faults of one event.
const (
	FaultNone Fault = iota
	FaultNotObject
	FaultType
	FaultTypeMissing
	FaultProduct
	FaultProductMissing
	FaultDevice
	FaultDeviceMissing
	FaultSize
	FaultSizeMissing
	FaultID
	FaultIDMissing
	FaultTopic
	FaultPayload
	FaultPayloadBase64
	FaultPayloadTwice
	FaultTime
	FaultPayloadTooLarge
	FaultSpecVersion
	FaultCloudType
	FaultSubject
	FaultSubjectMissing
	FaultData
	FaultDataBase64
)

// Faults is one more than the largest Fault.
const Faults = 24

type faultRow struct {
	field, detail string
	code          Code
}

var faultTable = [Faults]faultRow{
	FaultNone:           {"", "", Accepted},
	FaultNotObject:      {"", "an event is a JSON object", InvalidEvent},
	FaultType:           {"type", "must be connect, disconnect, up, down, ota or ota_void", InvalidEvent},
	FaultTypeMissing:    {"type", "is needed", InvalidEvent},
	FaultProduct:        {"product", "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", InvalidEvent},
	FaultProductMissing: {"product", "is needed", InvalidEvent},
	FaultDevice:         {"device", "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", InvalidEvent},
	FaultDeviceMissing:  {"device", "is needed", InvalidEvent},
	FaultSize: {
		"size",
		"must be a whole number of bytes, under 2^31 for a message and at most 2^40 for an OTA",
		InvalidEvent,
	},
	FaultSizeMissing:     {"size", "is needed for an OTA", InvalidEvent},
	FaultID:              {"id", "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", InvalidEvent},
	FaultIDMissing:       {"id", "is needed to void an OTA", InvalidEvent},
	FaultTopic:           {"topic", "must be a string of at most 256 bytes", InvalidEvent},
	FaultPayload:         {"payload", "must be a string", InvalidEvent},
	FaultPayloadBase64:   {"payload_base64", "must be a string in standard base64", InvalidEvent},
	FaultPayloadTwice:    {"payload_base64", "payload and payload_base64 exclude each other", InvalidEvent},
	FaultTime:            {"time", "must be a time as in RFC 3339", InvalidEvent},
	FaultPayloadTooLarge: {"payload", "is over 256 KiB", PayloadTooLarge},

	// Of CloudEvents alone.
	FaultSpecVersion: {"specversion", "must be 1.0", InvalidEvent},
	FaultCloudType: {
		"type",
		"must be io.meterd. and then connect, disconnect, up, down, ota or ota_void",
		InvalidEvent,
	},
	FaultSubject:        {"subject", "must be product/device, each 1 to 64 bytes of A-Z a-z 0-9 . _ : -", InvalidEvent},
	FaultSubjectMissing: {"subject", "is needed", InvalidEvent},
	FaultData:           {"data", "must be an object", InvalidEvent},
	FaultDataBase64:     {"data_base64", "is not taken; the data must be an object", InvalidEvent},
}

// Code returns what an event with this fault is denied with.
func (f Fault) Code() Code { return faultTable[f].code }

// Field returns the JSON name of the refused field, "" when it is the event as a whole.
func (f Fault) Field() string { return faultTable[f].field }

// Detail returns what is wrong with the field, for people.
func (f Fault) Detail() string { return faultTable[f].detail }
