package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
)

// ManifestName is the file that says what a copy consists of. It comes last.
const ManifestName = "manifest.json"

const manifestFormat = 1

// Manifest is what a copy consists of.
type Manifest struct {
	Format  int    `json:"format"`
	Data    int    `json:"data_format"` // of the data directory: disk.FormatVersion
	MadeBy  string `json:"made_by"`     // the version of meterd
	Region  string `json:"region"`
	Group   uint64 `json:"group"`    // the last one that is in it
	Chain   string `json:"chain"`    // hash of its link, in hex
	AsOfMs  int64  `json:"as_of_ms"` // when its last event was decided, Unix milliseconds
	Ledger  At     `json:"ledger"`   // how far the rows reach
	Webhook At     `json:"webhooks"`
	// Damaged are the archive's directories that were damaged before they were copied, nil if there are none.
	Damaged []string `json:"damaged,omitempty"`
	Files   []File   `json:"files"` // in their order
	// SHA256 is that of the manifest with this member empty.
	SHA256 string `json:"sha256"`
}

// At is a place in the log.
type At struct {
	Group uint64 `json:"group"`
	Chain string `json:"chain"`
}

// File is one file of a copy.
type File struct {
	Name   string `json:"name"` // with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func atOf(p ledger.Position) At { return At{Group: p.Seq, Chain: hex.EncodeToString(p.Chain[:])} }

// position returns the place as the ledger has it.
func (a At) position() (p ledger.Position, err error) {
	p.Seq = a.Group
	chain, err := hex.DecodeString(a.Chain)
	if err != nil || copy(p.Chain[:], chain) != len(p.Chain) || len(chain) != len(p.Chain) {
		return p, fmt.Errorf("the chain %q is no hash", a.Chain)
	}
	return p, nil
}

// encode returns the manifest with its sum.
func (m *Manifest) encode() ([]byte, error) {
	c := *m
	c.SHA256 = ""
	for {
		b, err := json.MarshalIndent(&c, "", " ")
		if err != nil {
			return nil, fmt.Errorf("encode the manifest: %w", err)
		}
		b = append(b, '\n')
		if c.SHA256 != "" {
			m.SHA256 = c.SHA256
			return b, nil
		}
		sum := sha256.Sum256(b)
		c.SHA256 = hex.EncodeToString(sum[:])
	}
}

// decodeManifest reads a manifest, which is exactly what encode has made.
func decodeManifest(b []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("it has format %d, this meterd knows %d", m.Format, manifestFormat)
	}
	again := *m
	want, err := again.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(b, want) {
		return nil, errors.New("its checksum does not match")
	}
	return m, m.validate()
}

func (m *Manifest) validate() error {
	if m.Data < disk.VersionMin || m.Data > disk.FormatVersion {
		return fmt.Errorf("the data directory has format %d, this meterd reads %d to %d: use the meterd that made it (%s)",
			m.Data, disk.VersionMin, disk.FormatVersion, m.MadeBy)
	}
	if len(m.Files) > filesMax {
		return fmt.Errorf("it names %d files", len(m.Files))
	}
	seen := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		if err := checkName(f.Name); err != nil {
			return err
		}
		if f.Bytes < 0 || seen[f.Name] {
			return fmt.Errorf("it names %q of %d bytes, or twice", f.Name, f.Bytes)
		}
		seen[f.Name] = true
	}
	if len(m.Damaged) > len(m.Files) {
		return fmt.Errorf("it names %d damaged directories", len(m.Damaged))
	}
	for _, name := range m.Damaged {
		if err := checkName(name); err != nil {
			return err
		}
	}
	for _, need := range []string{versionName, identityName} {
		if !seen[need] {
			return fmt.Errorf("it does not name %q", need)
		}
	}
	_, lerr := m.Ledger.position()
	_, werr := m.Webhook.position()
	return errors.Join(lerr, werr)
}

// Bytes returns what all files take.
func (m *Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Names of what lies in a copy, as in a data directory but for the rows.
const (
	versionName  = "VERSION"
	identityName = "IDENTITY"
	demoName     = "DEMO"

	logRoom        = "log"
	archiveRoom    = "archive"
	checkpointRoom = "checkpoint"
	snapshotsRoom  = "snapshots"
	ledgerRoom     = "ledger"
	webhooksRoom   = "webhooks"

	rowsPrefix = "rows-"
)

// checkName refuses a name that a copy cannot have: it would lead out of the directory, or into somebody else's room.
func checkName(name string) error {
	room, rest, isIn := strings.Cut(name, "/")
	known := false
	switch room {
	case versionName, identityName, demoName:
		known = !isIn
	case ledgerRoom, webhooksRoom:
		known = isIn && strings.HasPrefix(rest, rowsPrefix) && !strings.Contains(rest, "/")
	case logRoom, archiveRoom, checkpointRoom, snapshotsRoom:
		known = isIn
	}
	if !known || len(name) > nameBytesMax || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") ||
		strings.HasSuffix(name, disk.TmpSuffix) || path.Clean(name) != name {
		return fmt.Errorf("a copy has no file %q", name)
	}
	return nil
}
