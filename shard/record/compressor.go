package record

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Compressor turns raw chunks into stored ones and back. It is safe for concurrent use.
type Compressor struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCompressor returns a Compressor that uses at most workers cores at once.
func NewCompressor(workers int) (*Compressor, error) {
	enc, err := zstd.NewWriter(
		nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(windowBytes),
	)
	if err != nil {
		return nil, fmt.Errorf("open compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(RawBytesMax))
	if err != nil {
		return nil, fmt.Errorf("open decompressor: %w", err)
	}
	return &Compressor{enc: enc, dec: dec}, nil
}

// Compress appends the stored form of raw to dst.
func (c *Compressor) Compress(dst, raw []byte) []byte {
	if len(raw) <= plainBytesMax {
		return appendPlain(dst, raw)
	}
	return c.enc.EncodeAll(raw, dst)
}

// appendPlain appends a zstd frame (RFC 8878) that holds raw as it is, in one raw block:
//
//	u32 magic │ u8 descriptor: single segment, bytes of the size │ size: 1 byte, or 2 less 256 │
//	u24 last block, raw, size │ raw
func appendPlain(dst, raw []byte) []byte {
	const magic, singleSegment, sizeOf2, lastRaw = 0xFD2FB528, 1 << 5, 1 << 6, 1
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	if len(raw) < 256 {
		dst = append(dst, singleSegment, byte(len(raw)))
	} else {
		dst = append(dst, singleSegment|sizeOf2)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(raw)-256))
	}
	block := uint32(len(raw))<<3 | lastRaw
	dst = append(dst, byte(block), byte(block>>8), byte(block>>16))
	return append(dst, raw...)
}

// Decompress appends the raw form of stored to dst.
func (c *Compressor) Decompress(dst, stored []byte) ([]byte, error) {
	raw, err := c.dec.DecodeAll(stored, dst)
	if err != nil {
		return nil, fmt.Errorf("inflate chunk: %w", err)
	}
	return raw, nil
}
