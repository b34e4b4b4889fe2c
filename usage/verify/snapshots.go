package verify

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manifest is what a sealed snapshot says of itself (usage/snapshot/sealed/FORMAT.md).
type manifest struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Account  *string   `json:"account"`
	Group    uint64    `json:"group"`
	Period   string    `json:"period"`
	Final    bool      `json:"final"`
	Rows     uint64    `json:"rows"`
	SHA256   string    `json:"sha256"`
	Previous *string   `json:"previous_sha256"`
	Corrects *string   `json:"corrects"`
	MadeBy   string    `json:"made_by"`
	AsOf     time.Time `json:"as_of"`
	Files    []struct {
		Name   string `json:"name"`
		Bytes  int64  `json:"bytes"`
		Rows   uint64 `json:"rows"`
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

// sealed is a snapshot whose files were read: what it claims of each product.
type sealed struct {
	manifest
	month    uint32
	products map[string]*claimed
	unknown  []string // products whose totals before the period are not known any more
	others   int      // products of other cells
}

// claimed is what a snapshot says of a product, in its line and in the sum of its devices' rows.
type claimed struct {
	line, rows usageNumbers
	named      bool
}

// usageNumbers are the columns of usage, in their order.
type usageNumbers [len(usageColumns)]int64

var usageColumns = [...]string{
	"messages_up", "messages_down", "messages_denied", "ota_units", "ota_topup_units", "ota_denied", "licenses_consumed",
}

// usageOf returns the columns of usage of what was used between two readings of totals.
func usageOf(t *totals) (u usageNumbers) {
	f := &t.fields
	taken, given := int64(f[totalOTAAllowance]+f[totalOTAPacks]), int64(f[totalVoidAllowance]+f[totalVoidPacks])
	return usageNumbers{
		int64(f[totalUp]), int64(f[totalDown]),
		int64(t.count(typeUp, codeMessageQuota) + t.count(typeDown, codeMessageQuota)),
		taken - given, int64(f[totalOTAPacks]) - int64(f[totalVoidPacks]), int64(t.count(typeOTA, codeOTAQuota)),
		int64(f[totalLicenses]),
	}
}

// differsFrom returns the first column in which two differ.
func (u *usageNumbers) differsFrom(v *usageNumbers) (column string, a, b int64, differs bool) {
	for i := range u {
		if u[i] != v[i] {
			return usageColumns[i], u[i], v[i], true
		}
	}
	return "", 0, 0, false
}

// readSnapshots proves the files of all snapshots, or of one, and the chain of all manifests as far as there are
// neighbours: old snapshots may have been moved away.
func (v *verification) readSnapshots() (list []*sealed, err error) {
	dir, only := v.o.Snapshots, v.o.Snapshot
	entries, err := fs.ReadDir(dir, ".")
	if errors.Is(err, fs.ErrNotExist) && only == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	before := &manifest{}       // the one before the first
	for _, e := range entries { // Their names sort as their sequences do.
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		m, err := readManifest(dir, e.Name(), e.Name())
		if err != nil {
			return nil, err
		}
		if err := m.follows(before); err != nil {
			return nil, err
		}
		if m.Sequence > before.Sequence+1 {
			v.not("snapshots of sequences %d to %d, and the chain between them: they are not there", before.Sequence+1,
				m.Sequence-1)
		}
		before = m
		v.manifests = append(v.manifests, m)
		if only != "" && m.ID != only {
			continue
		}
		s := &sealed{manifest: *m, products: map[string]*claimed{}}
		if err := s.read(dir); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if only != "" && len(list) == 0 {
		return nil, fmt.Errorf("there is no snapshot %s", only)
	}
	return list, nil
}

// readManifest reads the manifest of a snapshot in a directory of a name.
func readManifest(dir fs.FS, at, name string) (*manifest, error) {
	b, err := fs.ReadFile(dir, path.Join(at, "manifest.json"))
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	m := &manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("snapshot %s: its manifest: %w", name, err)
	}
	if m.ID != name {
		return nil, &Difference{What: fmt.Sprintf("snapshot %s: its manifest says that it is %s", name, m.ID)}
	}
	return m, nil
}

// follows checks a manifest's place in the chain. Of what follows a gap the sum of the one before is not known.
func (m *manifest) follows(before *manifest) error {
	have := ""
	if m.Previous != nil {
		have = *m.Previous
	}
	switch {
	case m.Sequence <= before.Sequence:
		return &Difference{What: fmt.Sprintf("snapshot %s: it has sequence %d where %d or more must follow", m.ID,
			m.Sequence, before.Sequence+1)}
	case m.Sequence == before.Sequence+1 && have != before.SHA256:
		return &Difference{What: fmt.Sprintf("snapshot %s: it says that the one before has the check sum %q, which is %q",
			m.ID, have, before.SHA256)}
	}
	return nil
}

// read proves the files of a snapshot against its manifest, and its rows against each other.
func (s *sealed) read(dir fs.FS) error {
	month, err := time.Parse("2006-01", s.Period)
	if err != nil {
		return fmt.Errorf("snapshot %s: period %q is no month", s.ID, s.Period)
	}
	s.month = uint32((month.Year()-epochYear)*12 + int(month.Month()) - 1)
	var sums bytes.Buffer
	for i := range s.Files {
		f := &s.Files[i]
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, f.Name)
		if err := s.file(dir, f.Name, f.Bytes, f.Rows, f.SHA256); err != nil {
			return err
		}
	}
	if sum := hexSum(sums.Bytes()); sum != s.SHA256 {
		return s.differs("the check sum of its files' check sums is %s, the manifest says %s", sum, s.SHA256)
	}
	if err := s.sumsFile(dir, sums.Bytes()); err != nil {
		return err
	}
	for i := range s.Files {
		if f := &s.Files[i]; f.Name != "products.csv" && f.Rows != s.Rows {
			return s.differs("its manifest says %d rows, and %d in file %s", s.Rows, f.Rows, f.Name)
		}
	}
	for _, name := range s.names() {
		p := s.products[name]
		if !p.named {
			return s.differs("product %s has rows of devices and no line in products.csv", name)
		}
		if column, a, b, differs := p.rows.differsFrom(&p.line); differs {
			return s.differs("product %s: %s is %d by the rows of devices.csv, %d by products.csv", name, column, a, b)
		}
	}
	return nil
}

// sumsFile demands that SHA256SUMS is the text whose check sum is the snapshot's.
func (s *sealed) sumsFile(dir fs.FS, want []byte) error {
	have, err := fs.ReadFile(dir, path.Join(s.ID, "SHA256SUMS"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.differs("file SHA256SUMS is missing")
	case err != nil:
		return fmt.Errorf("snapshot %s: %w", s.ID, err)
	case !bytes.Equal(have, want):
		return s.differs("file SHA256SUMS has the check sum %s, the manifest says %s", hexSum(have), s.SHA256)
	}
	return nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *sealed) names() []string {
	names := make([]string, 0, len(s.products))
	for name := range s.products {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *manifest) differs(format string, a ...any) error {
	return &Difference{What: "snapshot " + m.ID + ": " + fmt.Sprintf(format, a...)}
}

// file proves one file.
func (s *sealed) file(dir fs.FS, name string, bytes int64, rows uint64, sum string) error {
	f, err := dir.Open(path.Join(s.ID, name))
	if errors.Is(err, fs.ErrNotExist) {
		return s.differs("file %s is missing", name)
	}
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", s.ID, err)
	}
	defer f.Close()
	in := &summed{r: f, sum: sha256.New()}
	have, whole := rows, error(nil)
	switch {
	case name == "devices.csv" || name == "products.csv":
		have, whole = s.csv(in, name)
	case strings.HasSuffix(name, ".ndjson"):
		have, whole = s.ndjson(in)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return fmt.Errorf("snapshot %s: read %s: %w", s.ID, name, err)
	}
	switch got := hex.EncodeToString(in.sum.Sum(nil)); { // The check sum first: a flipped byte is no difference of rows.
	case in.bytes != bytes:
		return s.differs("file %s has %d bytes, the manifest says %d", name, in.bytes, bytes)
	case got != sum:
		return s.differs("file %s has the check sum %s, the manifest says %s", name, got, sum)
	case whole != nil:
		return whole
	case have != rows:
		return s.differs("file %s has %d rows, the manifest says %d", name, have, rows)
	}
	return nil
}

// summed is a reader that keeps the check sum of what was read.
type summed struct {
	r     io.Reader
	sum   hash.Hash
	bytes int64
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.bytes += int64(n)
	return n, err
}

func (s *sealed) product(name string) *claimed {
	p := s.products[name]
	if p == nil {
		p = &claimed{}
		s.products[name] = p
	}
	return p
}

// csv reads devices.csv, whose rows are added up by product, or products.csv.
func (s *sealed) csv(r io.Reader, name string) (rows uint64, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineBytesMax)
	if !lines.Scan() {
		return 0, s.differs("file %s has no header", name)
	}
	header := strings.Split(lines.Text(), ",")
	var columns [len(usageColumns)]int
	for i, column := range usageColumns {
		if columns[i] = slices.Index(header, column); columns[i] < 0 {
			return 0, s.differs("file %s has no column %s", name, column)
		}
	}
	product := slices.Index(header, "product")
	if product < 0 {
		return 0, s.differs("file %s has no column product", name)
	}
	fields := make([]string, 0, len(header))
	for lines.Scan() {
		rows++
		fields = appendFields(fields[:0], lines.Text())
		if len(fields) != len(header) {
			return rows, s.differs("file %s: row %d has %d columns, the header %d", name, rows, len(fields), len(header))
		}
		p := s.product(fields[product])
		to := &p.rows
		if name == "products.csv" {
			if p.named {
				return rows, s.differs("file %s has product %s twice", name, fields[product])
			}
			to, p.named = &p.line, true
		}
		for i, at := range columns {
			n, err := strconv.ParseInt(fields[at], 10, 64)
			if err != nil {
				return rows, s.differs("file %s: row %d: %s is %q", name, rows, usageColumns[i], fields[at])
			}
			to[i] += n
		}
	}
	if err := lines.Err(); err != nil {
		return rows, fmt.Errorf("snapshot %s: read %s: %w", s.ID, name, err)
	}
	return rows, nil
}

func appendFields(dst []string, line string) []string {
	for {
		field, rest, more := strings.Cut(line, ",")
		dst = append(dst, field)
		if !more {
			return dst
		}
		line = rest
	}
}

// ndjson counts rows: that they say the same as those of devices.csv is what their check sum was made of.
func (s *sealed) ndjson(r io.Reader) (rows uint64, err error) {
	buf := make([]byte, readBytes)
	for {
		n, err := r.Read(buf)
		rows += uint64(bytes.Count(buf[:n], []byte{'\n'}))
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, fmt.Errorf("snapshot %s: %w", s.ID, err)
		}
	}
}
