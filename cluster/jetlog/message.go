package jetlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	commitlog "github.com/meterd/meterd/retention/log"
)

// Identity is of one stream: random, made with it. Messages of another stream do not have it.
type Identity [16]byte

// kind says what a message is.
type kind uint8

const (
	kindPart    kind = 1 // a stretch of a group's content
	kindHead    kind = 2 // the group's header and the last stretch: with it the group is whole
	kindEpoch   kind = 3 // a node owns the cell from here on
	kindBarrier kind = 4 // nothing but its epoch, and the clock of its node
	kindYield   kind = 5 // the last message of an epoch: another node shall begin the next one at once
)

func (k kind) String() string {
	switch k {
	case kindPart:
		return "part"
	case kindHead:
		return "head"
	case kindEpoch:
		return "epoch"
	case kindBarrier:
		return "barrier"
	case kindYield:
		return "yield"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// message is one message of the stream; FORMAT.md draws it.
type message struct {
	kind    kind
	stream  Identity
	epoch   uint64
	group   uint64 // of a part or head, or the last whole group before any other message
	part    uint32 // parts of the group before this message
	header  uint16 // of a head: length of the frame's header, which its payload begins with
	payload []byte
}

const (
	messageMagic   = 0x4c4a4d4d // "MMJL"
	messageVersion = 1
	headerBytes    = 4 + 1 + 1 + 2 + 16 + 8 + 8 + 4 + 4 + 8
	hashAt         = headerBytes - 8
)

// behind returns the last group that is whole before this message. It never goes down along the stream.
func (m *message) behind() uint64 {
	if m.kind == kindPart || m.kind == kindHead {
		return m.group - 1
	}
	return m.group
}

// append appends the message to dst.
func (m *message) append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, headerBytes)...)
	dst = append(dst, m.payload...)
	m.seal(dst[at:])
	return dst
}

// seal writes the header of a message before its payload: b has headerBytes of room, and then the payload.
func (m *message) seal(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, messageMagic)
	b[4], b[5] = messageVersion, byte(m.kind)
	le.PutUint16(b[6:], m.header)
	copy(b[8:], m.stream[:])
	le.PutUint64(b[24:], m.epoch)
	le.PutUint64(b[32:], m.group)
	le.PutUint32(b[40:], m.part)
	le.PutUint32(b[44:], uint32(len(b)-headerBytes))
	le.PutUint64(b[hashAt:], hashOf(b))
}

// hashOf is of the header up to the hash, and of the payload.
func hashOf(b []byte) uint64 {
	var h xxh3.Hasher
	_, _ = h.Write(b[:hashAt]) // It never fails.
	_, _ = h.Write(b[headerBytes:])
	return h.Sum64()
}

var errNoMessage = errors.New("it is no message of a commit log")

// decodeMessage reads a whole message and proves it. The payload points into b.
func decodeMessage(b []byte) (m message, err error) {
	le := binary.LittleEndian
	if len(b) < headerBytes || le.Uint32(b) != messageMagic {
		return m, errNoMessage
	}
	if b[4] != messageVersion {
		return m, fmt.Errorf("a message of version %d: this meterd reads version %d, use a newer one", b[4], messageVersion)
	}
	m.kind, m.header = kind(b[5]), le.Uint16(b[6:])
	copy(m.stream[:], b[8:])
	m.epoch, m.group, m.part = le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint32(b[40:])
	m.payload = b[headerBytes:]
	switch {
	case uint64(le.Uint32(b[44:])) != uint64(len(m.payload)):
		return m, fmt.Errorf("its header says %d bytes, it has %d", le.Uint32(b[44:]), len(m.payload))
	case hashOf(b) != le.Uint64(b[hashAt:]):
		return m, errors.New("its checksum does not match")
	}
	return m, m.validate()
}

// validate refuses what no message says whose checksum is right.
func (m *message) validate() error {
	switch {
	case m.kind < kindPart || m.kind > kindYield:
		return fmt.Errorf("%v is unknown", m.kind)
	case m.epoch == 0:
		return errors.New("it has no epoch")
	case m.kind == kindHead && int(m.header) > len(m.payload) || m.kind != kindHead && m.header != 0:
		return fmt.Errorf("a %v with a header of %d bytes, %d in all", m.kind, m.header, len(m.payload))
	case m.kind <= kindHead && m.group == 0:
		return fmt.Errorf("a %v of no group", m.kind)
	case m.part >= partsMax || m.kind > kindHead && m.part != 0:
		return fmt.Errorf("%v %d", m.kind, m.part)
	}
	return nil
}

// epochBegin is the payload of an epoch.
type epochBegin struct {
	nonce   uint64          // random, so that no two epochs are the same message
	atMs    int64           // wall clock of its node, Unix milliseconds
	records uint32          // version of the records that follow
	chain   commitlog.Chain // of the last group
	node    string
}

const epochFixedBytes = 8 + 8 + 4 + 16

func (e *epochBegin) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, e.nonce)
	dst = le.AppendUint64(dst, uint64(e.atMs))
	dst = le.AppendUint32(dst, e.records)
	dst = append(dst, e.chain[:]...)
	return append(dst, e.node...)
}

func decodeEpoch(b []byte) (e epochBegin, err error) {
	if len(b) < epochFixedBytes || len(b) > epochFixedBytes+nodeBytesMax {
		return e, fmt.Errorf("an epoch of %d bytes", len(b))
	}
	le := binary.LittleEndian
	e.nonce, e.atMs, e.records = le.Uint64(b), int64(le.Uint64(b[8:])), le.Uint32(b[16:])
	copy(e.chain[:], b[20:])
	e.node = string(b[epochFixedBytes:])
	return e, nil
}

// decodeBarrier returns the clock of the node that wrote a barrier, in Unix milliseconds.
func decodeBarrier(b []byte) (atMs int64, err error) {
	if len(b) != barrierBytes {
		return 0, fmt.Errorf("a barrier of %d bytes", len(b))
	}
	return int64(binary.LittleEndian.Uint64(b)), nil
}

const barrierBytes = 8

// decodeYield returns the name of the node that shall own the cell.
func decodeYield(b []byte) (to string, err error) {
	if len(b) == 0 || len(b) > nodeBytesMax {
		return "", fmt.Errorf("a yield of %d bytes", len(b))
	}
	return string(b), nil
}

// messagesOf cuts a group into messages: parts, and the head, which is the last one. They have memory of their own.
func messagesOf(g *commitlog.Group, before commitlog.Chain, stream Identity, epoch uint64) ([][]byte, error) {
	header, _, err := commitlog.AppendHeader(nil, g, before)
	if err != nil {
		return nil, err
	}
	rest := &content{pieces: append([][]byte{g.Head}, g.Chunks...)}
	n := rest.bytes()
	m := message{kind: kindPart, stream: stream, epoch: epoch, group: g.Seq}
	var list [][]byte
	for len(header)+n > payloadBytesMax {
		k := min(n, payloadBytesMax)
		b := rest.take(make([]byte, headerBytes, headerBytes+k), k)
		m.seal(b)
		list = append(list, b)
		n -= k
		m.part++
	}
	m.kind, m.header = kindHead, uint16(len(header))
	b := append(make([]byte, headerBytes, headerBytes+len(header)+n), header...)
	b = rest.take(b, n)
	m.seal(b)
	return append(list, b), nil
}

// content is head and chunks of a group, read as one.
type content struct{ pieces [][]byte }

func (c *content) bytes() (n int) {
	for _, p := range c.pieces {
		n += len(p)
	}
	return n
}

// take appends the next n bytes to dst.
func (c *content) take(dst []byte, n int) []byte {
	for n > 0 {
		k := min(n, len(c.pieces[0]))
		dst = append(dst, c.pieces[0][:k]...)
		n -= k
		if c.pieces[0] = c.pieces[0][k:]; len(c.pieces[0]) == 0 {
			c.pieces = c.pieces[1:]
		}
	}
	return dst
}
