package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// blockVersion is the first byte of every block.
const blockVersion = 2

// How the rest of a block is stored.
const (
	storedPlain = 0
	storedZstd  = 1
)

// codec compresses blocks and inflates them. It is safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(windowBytes))
	if err != nil {
		return nil, fmt.Errorf("open compressor: %w", err)
	}
	dec, err := zstd.NewReader(
		nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxMemory(payloadBytesMax+rowsBytesMax),
	)
	if err != nil {
		return nil, fmt.Errorf("open decompressor: %w", err)
	}
	return &codec{enc, dec}, nil
}

// seal appends the stored form of raw.
func (c *codec) seal(dst, raw []byte) []byte {
	dst = append(dst, blockVersion, storedZstd)
	at := len(dst)
	if dst = c.enc.EncodeAll(raw, dst); len(dst)-at >= len(raw) {
		dst[at-1] = storedPlain
		dst = append(dst[:at], raw...)
	}
	return dst
}

// unseal appends the raw form of stored to dst.
func (c *codec) unseal(dst, stored []byte) ([]byte, error) {
	switch {
	case len(stored) < 2 || stored[0] != blockVersion:
		return nil, fmt.Errorf("a block has not version %d", blockVersion)
	case stored[1] == storedPlain:
		return append(dst, stored[2:]...), nil
	case stored[1] != storedZstd:
		return nil, fmt.Errorf("a block is stored in the unknown way %d", stored[1])
	}
	raw, err := c.dec.DecodeAll(stored[2:], dst)
	if err != nil {
		return nil, fmt.Errorf("inflate a block: %w", err)
	}
	return raw, nil
}

// block gathers rows, ordered by device and place, until it is full.
type block struct {
	rows     int
	first    Row // without slices
	firstMs  int64
	lastMs   int64
	maxDays  uint32 // of LogDays
	anyZero  bool   // a row has LogDays 0
	cols     [columns][]byte
	payloads []byte

	last       Row // the row before; its slices are not kept
	deviceRows uint64
	daysRows   uint64
	lastDevice Device // before the one that is gathered
	counts     counts
	topic      []byte // of the last row that had one
	name       []byte // of the last row of the device
	size       int    // of cols, about
	quota      quotaRun
	quotaRows  uint64
	resetsMs   int64 // of the run of quotas before the one in hand
	orders     [measureRows]uint32
}

// counts are what the values of a row are compared with: those of the row before of the same device.
type counts struct {
	day      uint32
	up, down uint32
	denied   uint64
}

func (b *block) reset() {
	for i := range b.cols {
		b.cols[i] = b.cols[i][:0]
	}
	*b = block{cols: b.cols, payloads: b.payloads[:0], topic: b.topic[:0], name: b.name[:0]}
}

// key is that of the block, which has a row.
func (b *block) key() entryKey { return entryKey{b.first.Device, b.first.Place()} }

// takes reports whether a row of a device may be added.
func (b *block) takes(d Device) bool {
	return b.rows == 0 || b.rows < blockRowsMax && b.size < blockBytes && len(b.payloads) < blockPayloadBytes &&
		d.Product() == b.first.Device.Product()
}

// begin notes which row is the first.
func (b *block) begin(first Row, logDays uint32) {
	b.first = first
	b.last, b.lastDevice, b.firstMs, b.lastMs = first, first.Device, first.DecidedMs, first.DecidedMs
	b.last.LogDays = logDays
}

func (b *block) add(r *Row) {
	if b.rows == 0 {
		b.begin(Row{Device: r.Device, DecidedMs: r.DecidedMs, Tie: r.Tie, Order: r.Order}, r.LogDays)
	}
	if r.Device != b.last.Device {
		b.endDevice()
		b.counts, b.name = counts{}, b.name[:0]
		b.cols[colTimes] = appendVarint(b.cols[colTimes], r.DecidedMs-b.first.DecidedMs)
	} else {
		b.cols[colTimes] = appendVarint(b.cols[colTimes], r.DecidedMs-b.last.DecidedMs)
	}
	if r.LogDays != b.last.LogDays {
		b.endLogDays()
	}
	b.deviceRows++
	b.daysRows++
	b.rows++
	b.last.Device, b.last.DecidedMs, b.last.LogDays = r.Device, r.DecidedMs, r.LogDays
	b.firstMs, b.lastMs = min(b.firstMs, r.DecidedMs), max(b.lastMs, r.DecidedMs)
	b.maxDays, b.anyZero = max(b.maxDays, r.LogDays), b.anyZero || r.LogDays == 0
	b.values(r)
}

// values appends what does not depend on the row before, or on its counts.
func (b *block) values(r *Row) {
	cols := &b.cols
	cols[colTies] = binary.AppendUvarint(cols[colTies], uint64(r.Tie))
	cols[colOrders] = binary.AppendUvarint(cols[colOrders], uint64(r.Order))
	kind := r.Type & kindType
	if r.Code != 0 {
		kind |= kindDenied
		cols[colCodes] = append(cols[colCodes], r.Code)
	}
	cols[colSizes] = binary.AppendUvarint(cols[colSizes], uint64(r.Size))
	switch {
	case !r.Device.IsKnown():
		name := r.Name
		if bytes.Equal(name, b.name) {
			name = nil
		} else {
			b.name = append(b.name[:0], name...)
		}
		cols[colNames] = append(binary.AppendUvarint(cols[colNames], uint64(len(name))), name...)
	case r.isMessage():
		up, down := b.counts.expect(r)
		cols[colDays] = appendVarint(cols[colDays], int64(r.Day)-int64(b.counts.day))
		cols[colUps] = appendVarint(cols[colUps], int64(r.Up)-int64(up))
		cols[colDowns] = appendVarint(cols[colDowns], int64(r.Down)-int64(down))
		b.counts.day, b.counts.up, b.counts.down = r.Day, r.Up, r.Down
	default:
		cols[colUsed] = appendVarint(cols[colUsed], int64(r.Used)-int64(b.counts.up)-int64(b.counts.down))
		if r.Counted {
			kind |= kindCounted
			cols[colDays] = appendVarint(cols[colDays], int64(r.Day)-int64(b.counts.day))
			cols[colDenied] = appendVarint(cols[colDenied], int64(r.Denied-b.counts.denied))
			b.counts.denied = r.Denied
		}
	}
	if r.hasExtra() {
		kind |= kindExtra
		b.extra(r)
	}
	if r.Quota != (Quota{}) {
		kind |= kindQuota
		b.addQuota(r)
	}
	if len(r.Payload) > 0 {
		kind |= kindPayload
		cols[colPayloads] = binary.AppendUvarint(cols[colPayloads], uint64(len(r.Payload)))
		b.payloads = append(b.payloads, r.Payload...)
	}
	cols[colKinds] = append(cols[colKinds], kind)
	b.size += rowBytes + len(r.Name) + len(r.ID) + len(r.Topic)
	b.measure()
}

// measure has size be that of the columns, every measureRows rows.
func (b *block) measure() {
	if b.rows%measureRows == 0 {
		b.size = 0
		for i := range b.cols {
			b.size += len(b.cols[i])
		}
	}
}

// expect returns the counts of a message if it follows the one before: one unit more of its direction.
func (c *counts) expect(r *Row) (up, down uint32) {
	if r.Day == c.day {
		up, down = c.up, c.down
	}
	if r.Type == typeUp {
		return up + 1, down
	}
	return up, down + 1
}

func (b *block) extra(r *Row) {
	x := append(b.cols[colExtras], 0)
	flags := len(x) - 1
	if len(r.ID) > 0 {
		x[flags] |= extraID
		x = append(binary.AppendUvarint(x, uint64(len(r.ID))), r.ID...)
	}
	switch {
	case len(r.Topic) == 0:
	case bytes.Equal(r.Topic, b.topic):
		x[flags] |= extraSameTopic
	default:
		x[flags] |= extraTopic
		x = append(binary.AppendUvarint(x, uint64(len(r.Topic))), r.Topic...)
		b.topic = append(b.topic[:0], r.Topic...)
	}
	if r.TimeMs != 0 {
		x[flags] |= extraTime
		x = appendVarint(x, r.TimeMs-r.DecidedMs)
	}
	if r.IsCut {
		x[flags] |= extraCut
	}
	if r.WouldDeny != 0 {
		x[flags] |= extraWouldDeny
		x = append(x, r.WouldDeny)
	}
	if r.Requested != 0 {
		x[flags] |= extraRequested
		x = binary.AppendUvarint(binary.AppendUvarint(x, uint64(r.Requested)), r.TopupAvailable)
	}
	b.cols[colExtras] = x
}

func (b *block) endDevice() {
	d := binary.AppendUvarint(b.cols[colDevices], uint64(b.last.Device-b.lastDevice))
	b.cols[colDevices] = binary.AppendUvarint(d, b.deviceRows)
	b.lastDevice, b.deviceRows = b.last.Device, 0
}

func (b *block) endLogDays() {
	d := binary.AppendUvarint(b.cols[colLogDays], b.daysRows)
	b.cols[colLogDays] = binary.AppendUvarint(d, uint64(b.last.LogDays))
	b.daysRows = 0
}

// finish returns the raw rows. Its memory is the block's.
func (b *block) finish(dst []byte) []byte {
	b.endDevice()
	b.endLogDays()
	b.endQuota()
	dst = binary.AppendUvarint(dst, uint64(b.rows))
	return appendColumns(dst, &b.cols)
}

// blockReader walks the rows of a block in order.
type blockReader struct {
	row  Row // valid until next is called again; its slices are in place, Payload is nil
	from int // byte of the payload block where the row's payload begins
	size int // of the row's payload

	cols                 [columns]column
	firstMs              int64
	left                 uint64 // rows
	deviceLeft, daysLeft uint64
	quotaLeft            uint64
	quota                quotaRun
	payloadAt            int
	counts               counts
	topic, name          []byte
	err                  error
}

// open begins to read raw, whose key names its first row.
func (b *blockReader) open(key entryKey, raw []byte) error {
	head := column{b: raw}
	*b = blockReader{firstMs: key.place.DecidedMs, left: head.uvarint()}
	if head.failed || b.left == 0 || b.left > blockRowsMax {
		return fmt.Errorf("a block of %d rows", b.left)
	}
	b.row.Device, b.row.DecidedMs = key.device, key.place.DecidedMs
	return splitColumns(head.b, &b.cols)
}

// hasTimes reports whether the block has a row that was decided from fromMs to toMs. It reads two columns, of a copy: a
// tenth of what reading the rows takes. Of a damaged block it says that there is one, for whoever reads it to find out.
func (b *blockReader) hasTimes(fromMs, toMs int64) bool {
	devices, times := b.cols[colDevices], b.cols[colTimes]
	for left := b.left; left > 0; {
		devices.uvarint()
		rows := devices.uvarint()
		if rows == 0 || rows > left {
			return true
		}
		left -= rows
		for ms := b.firstMs; rows > 0; rows-- {
			if ms += times.varint(); ms >= fromMs && ms <= toMs {
				return true
			}
		}
		if times.failed {
			return true
		}
	}
	return false
}

// next moves to the next row and reports whether there is one.
func (b *blockReader) next() bool {
	if b.err != nil || b.left == 0 {
		return false
	}
	b.left--
	device, ms := b.row.Device, b.row.DecidedMs
	fresh := b.deviceLeft == 0
	if fresh {
		device += Device(b.cols[colDevices].uvarint())
		if b.deviceLeft = b.cols[colDevices].uvarint(); b.deviceLeft == 0 {
			return b.fail("a device has no rows")
		}
		b.counts, b.name, ms = counts{}, nil, b.firstMs
	}
	b.deviceLeft--
	b.payloadAt += b.size
	days := b.row.LogDays
	if b.daysLeft == 0 {
		if b.daysLeft = b.cols[colLogDays].uvarint(); b.daysLeft == 0 {
			return b.fail("a run of no log days")
		}
		days = uint32(b.cols[colLogDays].uvarint())
	}
	b.daysLeft--
	b.row = Row{
		Device: device, DecidedMs: ms + b.cols[colTimes].varint(), LogDays: days,
		Tie: uint32(b.cols[colTies].uvarint()), Order: uint32(b.cols[colOrders].uvarint()) & orderMax,
		Size: int64(b.cols[colSizes].uvarint()),
	}
	b.values()
	for i := range b.cols {
		if b.cols[i].failed {
			return b.fail(fmt.Sprintf("column %d ends too early", i))
		}
	}
	if b.row.Type == 0 || b.row.Type > typeMax {
		return b.fail(fmt.Sprintf("a row has the unknown type %d", b.row.Type))
	}
	return true
}

func (b *blockReader) fail(reason string) bool {
	b.err = errors.New("a block is damaged: " + reason)
	return false
}

func (b *blockReader) values() {
	r, cols := &b.row, &b.cols
	kind := cols[colKinds].byte()
	r.Type, r.Counted = kind&kindType, kind&kindCounted != 0
	if kind&kindDenied != 0 {
		r.Code = cols[colCodes].byte()
	}
	switch {
	case !r.Device.IsKnown():
		if n := cols[colNames].uvarint(); n > 0 {
			b.name = cols[colNames].bytes(n)
		}
		r.Name = b.name
	case r.isMessage():
		r.Day = uint32(int64(b.counts.day) + cols[colDays].varint())
		up, down := b.counts.expect(r)
		r.Up = uint32(int64(up) + cols[colUps].varint())
		r.Down = uint32(int64(down) + cols[colDowns].varint())
		r.Used = r.Up + r.Down
		b.counts.day, b.counts.up, b.counts.down = r.Day, r.Up, r.Down
	default:
		r.Used = uint32(int64(b.counts.up) + int64(b.counts.down) + cols[colUsed].varint())
		if r.Counted {
			r.Day = uint32(int64(b.counts.day) + cols[colDays].varint())
			r.Denied = b.counts.denied + uint64(cols[colDenied].varint())
			b.counts.denied = r.Denied
		}
	}
	if kind&kindExtra != 0 {
		b.extra()
	}
	if kind&kindQuota != 0 {
		b.numbers()
	}
	b.from, b.size = b.payloadAt, 0
	if kind&kindPayload != 0 {
		b.size = int(min(cols[colPayloads].uvarint(), payloadBytesMax))
	}
}

func (b *blockReader) extra() {
	r, x := &b.row, &b.cols[colExtras]
	flags := x.byte()
	r.IsCut = flags&extraCut != 0
	if flags&extraID != 0 {
		r.ID = x.bytes(x.uvarint())
	}
	if flags&extraTopic != 0 {
		b.topic = x.bytes(x.uvarint())
	}
	if flags&(extraTopic|extraSameTopic) != 0 {
		r.Topic = b.topic
	}
	if flags&extraTime != 0 {
		r.TimeMs = r.DecidedMs + x.varint()
	}
	if flags&extraWouldDeny != 0 {
		r.WouldDeny = x.byte()
	}
	if flags&extraRequested != 0 {
		r.Requested, r.TopupAvailable = uint32(x.uvarint()), x.uvarint()
	}
}
