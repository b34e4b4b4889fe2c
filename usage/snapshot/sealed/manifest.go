package sealed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/meterd/meterd/event"
)

// Manifest is a sealed snapshot as the contract shows it, as it lies on disk, and as it is exported. It never changes.
type Manifest struct {
	ID       string  `json:"id"`
	Sequence uint64  `json:"sequence"` // from 1; never given twice
	Account  *string `json:"account"`  // null: all
	AsOf     Instant `json:"as_of"`
	Group    uint64  `json:"group"` // the last group of the log that is in it
	Period   string  `json:"period"`
	Final    bool    `json:"final"` // the period was over for every product; without one, in every time zone
	Rows     uint64  `json:"rows"`  // devices
	// SHA256 is that of the text that `sha256sum` prints for Files in their order, which is the file SHA256SUMS.
	SHA256   string  `json:"sha256"`
	Previous *string `json:"previous_sha256"` // null: it is the first, or the one before is not known
	Corrects *string `json:"corrects"`        // id of the snapshot that it takes the place of
	Sealed   bool    `json:"sealed"`
	SealedAt Instant `json:"sealed_at"`
	MadeBy   string  `json:"made_by"` // name of the token of who had it made
	// ScheduledDay and ScheduledMonth are what the schedule made it for: the day or month that was over everywhere.
	ScheduledDay   string `json:"scheduled_day,omitempty"`
	ScheduledMonth string `json:"scheduled_month,omitempty"`
	Files          []File `json:"files"`
}

// ContentType returns the media type of a file of a snapshot.
func ContentType(name string) string {
	switch path.Ext(name) {
	case ".csv":
		return "text/csv; charset=utf-8; header=present"
	case ".ndjson":
		return "application/x-ndjson"
	case ".parquet":
		return "application/vnd.apache.parquet"
	case ".json":
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// Instant is a time, Unix milliseconds, that is written as RFC 3339 has it.
type Instant int64

// MarshalJSON writes the time.
func (t Instant) MarshalJSON() ([]byte, error) { return event.AppendTime(nil, int64(t)), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Instant) UnmarshalJSON(b []byte) error {
	at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	*t = Instant(at.UnixMilli())
	return err
}

// Names of the files beside those of the contract.
const (
	ManifestName = "manifest.json"
	SumsName     = "SHA256SUMS"
)

// sums returns what `sha256sum` prints for files.
func sums(files []File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		b.WriteString(f.SHA256 + "  " + f.Name + "\n")
	}
	return b.Bytes()
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// file returns the file of a name, nil if there is none. SHA256SUMS is one.
func (m *Manifest) file(name string) *File {
	for i := range m.Files {
		if m.Files[i].Name == name {
			return &m.Files[i]
		}
	}
	if name == SumsName {
		return &File{Name: SumsName, Bytes: int64(len(sums(m.Files))), SHA256: m.SHA256}
	}
	return nil
}

// AccountName returns the account that the snapshot is about, "" for all.
func (m *Manifest) AccountName() string { return textOf(m.Account) }

func textOf(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// pointTo returns nil, which is null in JSON, for no text.
func pointTo(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Encode returns the manifest as it lies on disk.
func (m *Manifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest of snapshot %s: %w", m.ID, err)
	}
	return append(b, '\n'), nil
}

// decodeManifest reads what Encode wrote, and refuses what does not fit together.
func decodeManifest(b []byte) (*Manifest, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	switch {
	case m.Sequence == 0 || m.ID[cellBytes(m.ID):] != idOf(m.Sequence):
		return nil, fmt.Errorf("sequence %d and id %q do not belong together", m.Sequence, m.ID)
	case len(m.Files) == 0 || !m.Sealed:
		return nil, fmt.Errorf("it is not sealed")
	case m.SHA256 != hexSHA256(sums(m.Files)):
		return nil, fmt.Errorf("its sha256 is not that of its files")
	}
	return m, nil
}

// cellBytes returns the length of what an id begins with in a cell of a cluster: a number and a dash, or nothing.
func cellBytes(id string) int {
	cell, _, found := strings.Cut(id, "-")
	if !found || cell == "" || strings.Trim(cell, "0123456789") != "" {
		return 0
	}
	return len(cell) + 1
}

// idOf returns the id of a sequence, without the cell. Ids of a cell are sorted as sequences are.
func idOf(sequence uint64) string { return fmt.Sprintf("s%08d", sequence) }
