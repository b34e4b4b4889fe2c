package disk

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const identityTitle = "identity"

// identity is what the first start fixed for ever.
type identity struct {
	region    string
	hashSeed  [16]byte
	createdAt time.Time
}

// openIdentity reads DIR/IDENTITY, or makes it on the first start. A region that is not the directory's is refused
// (R7).
func openIdentity(dir, region string, now time.Time, first bool) (identity, error) {
	path := filepath.Join(dir, "IDENTITY")
	id, err := readIdentity(path)
	if errors.Is(err, os.ErrNotExist) && first {
		return makeIdentity(path, region, now)
	}
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, Damage(path, "it is missing")
	}
	if err != nil {
		return identity{}, err
	}
	if id.region != region {
		return identity{}, fmt.Errorf(
			"data directory %q belongs to region %q, not %q: the region is fixed at the first start; "+
				"start with --region %s, or with another --data",
			dir,
			id.region,
			region,
			id.region,
		)
	}
	return id, nil
}

func readIdentity(path string) (identity, error) {
	fields, err := ReadSealed(path, identityTitle)
	if err != nil {
		return identity{}, err
	}
	id := identity{region: fields["region"]}
	seed, err := hex.DecodeString(fields["hash_seed"])
	if err != nil || len(seed) != len(id.hashSeed) {
		return identity{}, Damage(path, "hash_seed %q is not 16 bytes in hex", fields["hash_seed"])
	}
	copy(id.hashSeed[:], seed)
	if id.createdAt, err = time.Parse(time.RFC3339Nano, fields["created_at"]); err != nil {
		return identity{}, Damage(path, "created_at %q is no time", fields["created_at"])
	}
	return id, nil
}

func makeIdentity(path, region string, now time.Time) (identity, error) {
	id := identity{region: region, createdAt: now.UTC()}
	rand.Read(id.hashSeed[:]) // It never fails: crypto/rand ends the process instead.
	return id, WriteSynced(path, id.encode())
}

func (id identity) encode() []byte {
	return EncodeSealed(identityTitle, [][2]string{
		{"region", id.region},
		{"hash_seed", hex.EncodeToString(id.hashSeed[:])},
		{"created_at", id.createdAt.Format(time.RFC3339Nano)},
	})
}

// IdentityWith returns the content of IDENTITY as it would be with another key of the device table's hash: that of a
// cell, whose log depends on it, is not its directory's.
func (d *Dir) IdentityWith(hashSeed [16]byte) []byte {
	id := d.identity
	id.hashSeed = hashSeed
	return id.encode()
}
