package board

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/retention/disk"
)

// Position is how far a copy of a cell was.
type Position struct {
	Cell    int     `json:"cell"`
	Node    string  `json:"node"`
	Stream  Bytes16 `json:"stream"`
	Copy    string  `json:"copy"`
	Epoch   uint64  `json:"epoch"`
	Group   uint64  `json:"group"`
	Chain   Bytes16 `json:"chain"`
	Message uint64  `json:"message"`
	Erased  uint64  `json:"erased,omitempty"` // as CellStatus has it
}

// validate refuses what no node tells.
func (p *Position) validate() error {
	if p.Cell < 0 || p.Cell >= cellsMax || len(p.Copy) > wordBytesMax {
		return fmt.Errorf("a position of cell %d, copy %q", p.Cell, p.Copy)
	}
	return ValidName(p.Node)
}

func compare(a, b Position) int {
	return cmp.Or(cmp.Compare(a.Cell, b.Cell), strings.Compare(a.Node, b.Node))
}

type place struct {
	cell int
	node string
}

// Positions are the newest ones of all nodes, and the longest one of each cell's stream, which outlives its copy.
// Beside them are the servers that nodes have or had, and those that were forgotten, the oldest first.
type Positions struct {
	newest    map[place]Position
	longest   map[int]Position
	servers   []Server
	forgotten []Forgotten
}

func newPositions() *Positions {
	return &Positions{newest: map[place]Position{}, longest: map[int]Position{}}
}

func (p *Positions) clone() *Positions {
	return &Positions{
		newest: maps.Clone(p.newest), longest: maps.Clone(p.longest), servers: slices.Clone(p.servers),
		forgotten: slices.Clone(p.forgotten),
	}
}

// take takes what a node told of a cell, and says whether something is new. What is copied from elsewhere is no
// position until it is whole.
func (p *Positions) take(node string, c *CellStatus) (news bool) {
	if c.Role == Reseeding || c.Role == Damaged || c.Stream == (Bytes16{}) {
		return false
	}
	return p.put(Position{
		Cell: c.Cell, Node: node, Stream: c.Stream, Copy: c.Copy, Epoch: c.Epoch, Group: c.Group, Chain: c.Chain,
		Message: c.Message, Erased: c.Erased,
	})
}

func (p *Positions) put(n Position) (news bool) {
	at := place{n.Cell, n.Node}
	before, known := p.newest[at]
	switch {
	case !known && len(p.newest) >= nodesMax*cellsMax:
		return false
	case known && before.Stream == n.Stream && before.Copy == n.Copy && before.Group > n.Group:
		return false // Of one copy, the longest: one that is shorter now is an older self.
	}
	p.newest[at] = n
	if l, known := p.longest[n.Cell]; !known || l.Stream != n.Stream || l.Group < n.Group {
		p.longest[n.Cell] = n
	}
	return !known || before != n
}

// Of returns the newest position of each node's copy of a cell, by node.
func (p *Positions) Of(cell int) (list []Position) {
	for at, n := range p.newest {
		if at.cell == cell {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, compare)
	return list
}

// Longest returns the longest position that was ever told of a cell's stream, also by a copy that is gone.
func (p *Positions) Longest(cell int, stream Bytes16) (Position, bool) {
	l, known := p.longest[cell]
	return l, known && l.Stream == stream
}

// by returns the positions of one node's copies.
func (p *Positions) by(node string) (list []Position) {
	for at, n := range p.newest {
		if at.node == node {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, compare)
	return list
}

// file is the content of the file of positions.
type file struct {
	Version int        `json:"v"`
	Newest  []Position `json:"newest"`
	Longest []Position `json:"longest"`
	lists
}

// encode makes the content of a file: a line with the hash of the rest, which is JSON.
func (p *Positions) encode() ([]byte, error) {
	f := file{
		Version: formatVersion,
		Newest:  slices.SortedFunc(maps.Values(p.newest), compare),
		Longest: slices.SortedFunc(maps.Values(p.longest), compare),
		lists:   lists{p.servers, p.forgotten},
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("write positions: %w", err)
	}
	return fmt.Appendf(nil, "%016x\n%s\n", xxh3.Hash(b), b), nil
}

// decodePositions reads the content of a file.
func decodePositions(content []byte) (*Positions, error) {
	line, rest, ok := strings.Cut(strings.TrimSuffix(string(content), "\n"), "\n")
	if !ok || line != fmt.Sprintf("%016x", xxh3.HashString(rest)) {
		return nil, errors.New("its checksum does not match")
	}
	var f file
	if err := json.Unmarshal([]byte(rest), &f); err != nil {
		return nil, fmt.Errorf("its content: %w", err)
	}
	if f.Version != formatVersion {
		return nil, fmt.Errorf("it has version %d, this meterd reads version %d", f.Version, formatVersion)
	}
	if err := f.lists.validate(); err != nil {
		return nil, err
	}
	p := newPositions()
	p.servers, p.forgotten = f.Servers, f.Forgotten
	for _, n := range slices.Concat(f.Longest, f.Newest) {
		if err := n.validate(); err != nil {
			return nil, err
		}
	}
	for _, n := range f.Newest {
		p.put(n)
	}
	for _, n := range f.Longest {
		p.longest[n.Cell] = n
	}
	return p, nil
}

// readPositions reads the file. One that is damaged says nothing, and is said to: positions are told again.
func readPositions(path string, logger *slog.Logger) *Positions {
	if path == "" {
		return newPositions()
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return newPositions()
	}
	if err == nil && info.Size() > fileBytesMax {
		err = fmt.Errorf("%d bytes, %d at most", info.Size(), fileBytesMax)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(path)
	}
	var p *Positions
	if err == nil {
		p, err = decodePositions(content)
	}
	if err != nil {
		logger.Error("how far the other nodes were is not known any more: it is learnt again from what they tell",
			"file", path, "error", err)
		return newPositions()
	}
	return p
}

func writePositions(path string, content []byte) error { return disk.WriteSynced(path, content) }

// copyFile holds the random name of a directory's copy of a cell.
const copyFile = "copy"

// CopyName returns the random name of the copy of a cell that lies in a directory, and gives it one if it is new. A
// directory that was emptied has another name, so nobody takes it for an older state of the one before.
func CopyName(dir string) (string, error) {
	path := filepath.Join(dir, copyFile)
	b, err := os.ReadFile(path)
	if err == nil {
		name := strings.TrimSpace(string(b))
		if _, err := hex.DecodeString(name); err != nil || name == "" || len(name) > wordBytesMax {
			return "", disk.Damage(path, "it is no name of a copy")
		}
		return name, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	var random [8]byte
	rand.Read(random[:]) // It never fails: crypto/rand ends the process instead.
	name := hex.EncodeToString(random[:])
	return name, disk.WriteSynced(path, []byte(name+"\n"))
}
