package board

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Role says what a node is to a cell.
type Role string

// Roles of a node.
const (
	Owner     Role = "owner"     // it decides for the cell
	Standby   Role = "standby"   // it has all that was told, but perhaps the last second
	Following Role = "following" // it reads what it lacks
	Reseeding Role = "reseeding" // it copies the cell from another node: what it has says nothing
	Damaged   Role = "damaged"   // its copy or the stream is not whole: nobody may own the cell by it
)

// States of a node.
const (
	Starting = "starting"
	Ready    = "ready"
	Leaving  = "leaving"
	Silent   = "silent" // given by the others: it was not heard for a time
)

// Bytes16 is 16 bytes that are written in hex: a stream's identity, or the chain of a group.
type Bytes16 [16]byte

// MarshalText implements encoding.TextMarshaler.
func (b Bytes16) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes16) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(b) {
		return fmt.Errorf("%d bytes of hex, not %d", len(text), hex.EncodedLen(len(b)))
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("16 bytes in hex: %w", err)
	}
	return nil
}

// Status is what a node tells. The board itself sets Node, Server, Boot, Told and WallMs.
type Status struct {
	Node    string `json:"node"`
	Boot    string `json:"boot"`    // random: of the process
	Told    uint64 `json:"told"`    // number of the message of this process
	WallMs  int64  `json:"wall_ms"` // its wall clock when it told this, Unix milliseconds
	State   string `json:"state"`
	Version string `json:"version,omitempty"` // of meterd
	Address string `json:"address,omitempty"` // HOST:PORT of its router
	// Fingerprint is the SHA-256 of its certificate in hex, empty without TLS.
	Fingerprint string       `json:"fingerprint,omitempty"`
	Server      Server       `json:"server,omitzero"` // of NATS in its process
	Cells       []CellStatus `json:"cells,omitempty"` // in order
}

// CellStatus is how a cell stands on a node.
type CellStatus struct {
	Cell    int     `json:"cell"`
	Role    Role    `json:"role"`
	Why     string  `json:"why,omitempty"` // why it is damaged, or not ready: a Sentence
	Stream  Bytes16 `json:"stream"`        // identity of the stream that it follows
	Copy    string  `json:"copy"`          // random: of the directory that its copy lies in, see CopyName
	Epoch   uint64  `json:"epoch"`         // of the last message that it has read
	Group   uint64  `json:"group"`         // the last one that is synced in its segments
	Chain   Bytes16 `json:"chain"`         // of that group
	Message uint64  `json:"message"`       // sequence in the stream: all groups up to it are synced in its segments
	First   uint64  `json:"first"`         // sequence of the stream's first message, told by the owner
	// Erased is the change up to which all that was erased is out of the files of this stream, as far as the node knows.
	Erased uint64 `json:"erased,omitempty"`
	// Fit says that it would own the cell if it had to: its copy is in order and its clock is near.
	Fit     bool   `json:"fit,omitempty"`
	LastMs  int64  `json:"last_ms,omitempty"` // latest decided time that it has, Unix milliseconds
	Devices uint64 `json:"devices,omitempty"`
	// Delivered is how far the owner has delivered the cell's webhooks: up to this group nothing is owed to them, but to
	// those in Owed, by their numbers, which have a group each.
	Delivered uint64            `json:"delivered,omitempty"`
	Owed      map[uint64]uint64 `json:"owed,omitempty"`
	Address   string            `json:"address,omitempty"` // HOST:PORT of the cell's own server, told by the owner
	// Sealed is the sequence of the newest sealed snapshot that lies here, 0 for none; nil: the copy is closed, or this
	// meterd copies none. Lacks is how many others the log names that do not lie here.
	Sealed *uint64 `json:"sealed,omitempty"`
	Lacks  int     `json:"lacks,omitempty"`
}

// Cell returns how a cell stands on the node, false if it says nothing about it.
func (s *Status) Cell(cell int) (CellStatus, bool) {
	i, found := slices.BinarySearchFunc(s.Cells, cell, func(c CellStatus, cell int) int { return c.Cell - cell })
	if !found {
		return CellStatus{}, false
	}
	return s.Cells[i], true
}

// ValidName refuses what is no name of a node: 1 to 64 letters, digits, - . and _.
func ValidName(name string) error {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r)
	}
	bad := strings.ContainsFunc(name, func(r rune) bool { return !ok(r) })
	if name == "" || len(name) > wordBytesMax || bad {
		return fmt.Errorf("%q is no name of a node: 1 to %d letters, digits, - . and _", name, wordBytesMax)
	}
	return nil
}

// Sentence returns what CellStatus.Why takes of a text: up to textBytesMax bytes, whole characters of UTF-8.
func Sentence(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= textBytesMax {
		return text
	}
	end := textBytesMax
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// Validate refuses what no node tells.
func (s *Status) Validate() error {
	if err := ValidName(s.Node); err != nil {
		return err
	}
	if len(s.Boot) > wordBytesMax || len(s.Version) > wordBytesMax || len(s.State) > wordBytesMax ||
		len(s.Fingerprint) > wordBytesMax || len(s.Address) > textBytesMax {
		return errors.New("a word of it is too long")
	}
	if s.Server != (Server{}) {
		if err := s.Server.validate(); err != nil || s.Server.Node != s.Node {
			return fmt.Errorf("its server %q: %w", s.Server.Name, errors.Join(err, errNoServer))
		}
	}
	before := -1
	for i := range s.Cells {
		c := &s.Cells[i]
		switch {
		case c.Cell <= before || c.Cell >= cellsMax:
			return fmt.Errorf("cell %d comes after cell %d", c.Cell, before)
		case c.Role != Owner && c.Role != Standby && c.Role != Following && c.Role != Reseeding && c.Role != Damaged:
			return fmt.Errorf("cell %d: %q is no role", c.Cell, c.Role)
		case len(c.Copy) > wordBytesMax || len(c.Address) > textBytesMax || len(c.Why) > textBytesMax:
			return fmt.Errorf("cell %d: a word of it is too long", c.Cell)
		case len(c.Owed) > owedMax:
			return fmt.Errorf("cell %d: %d webhooks are behind, %d are told of at most", c.Cell, len(c.Owed), owedMax)
		}
		before = c.Cell
	}
	return nil
}

// formatVersion is of the messages. A member may be added to it without another version, not taken away or changed.
const formatVersion = 1

// told is a message: the version, and the status.
type told struct {
	Version int `json:"v"`
	Status
}

// encode makes a message.
func (s *Status) encode() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("tell how this node is: %w", err)
	}
	b, err := json.Marshal(told{formatVersion, *s})
	if err != nil {
		return nil, fmt.Errorf("tell how this node is: %w", err)
	}
	if len(b) > messageBytesMax {
		return nil, fmt.Errorf("tell how this node is: %d bytes, %d at most", len(b), messageBytesMax)
	}
	return b, nil
}

// decodeStatus reads a message.
func decodeStatus(b []byte) (Status, error) {
	if len(b) > messageBytesMax {
		return Status{}, fmt.Errorf("%d bytes, %d at most", len(b), messageBytesMax)
	}
	var version struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Status{}, fmt.Errorf("it is no message of a node: %w", err)
	}
	if version.Version != formatVersion {
		return Status{}, fmt.Errorf("a message of version %d: this meterd reads version %d", version.Version, formatVersion)
	}
	var t told
	if err := json.Unmarshal(b, &t); err != nil {
		return Status{}, fmt.Errorf("it is no message of a node: %w", err)
	}
	return t.Status, t.Validate()
}

func sameNumber(a, b *uint64) bool { return a == b || a != nil && b != nil && *a == *b }

// changed says whether something happened between two statuses that others should know at once: a group more is
// nothing that could not wait for a second.
func changed(before, now *Status) bool {
	if before.State != now.State || before.Address != now.Address || before.Fingerprint != now.Fingerprint ||
		len(before.Cells) != len(now.Cells) {
		return true
	}
	for i := range now.Cells {
		b, n := &before.Cells[i], &now.Cells[i]
		if b.Cell != n.Cell || b.Role != n.Role || b.Epoch != n.Epoch || b.Address != n.Address || b.Fit != n.Fit ||
			b.Stream != n.Stream || b.Why != n.Why || b.Lacks != n.Lacks || !sameNumber(b.Sealed, n.Sealed) {
			return true
		}
	}
	return false
}
