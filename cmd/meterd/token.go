package main

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// adminName is the name of the first token, adminTokenFile that of the file with it.
const (
	adminName      = "admin"
	adminTokenFile = "admin.token"
)

// firstToken makes the administrator's token of a new data directory. The file is written first: a crash in between
// leaves a file that opens nothing and is made anew, never a token whose secret nobody knows.
func firstToken(e *shard.Engine, path string, logger *slog.Logger) error {
	if e.Catalogue().Seq > 0 {
		return nil
	}
	secret := access.NewSecret()
	if err := writeSecret(path, secret, os.O_TRUNC); err != nil {
		return fmt.Errorf("write the administrator's token: %w", err)
	}
	err := e.Administer(
		adminName, nil,
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			return c.CreateToken(
				by,
				access.Token{Name: adminName, Role: access.RoleAdmin, Hash: sha256.Sum256([]byte(secret))},
			)
		},
	)
	if err != nil {
		return fmt.Errorf("create the administrator's token: %w", err)
	}
	logger.Info("administrator's token written", "path", path)
	return nil
}

// writeSecret writes a file that only its owner can read, synced. ifThere says what becomes of a file that is there:
// with os.O_TRUNC it is written over, with os.O_EXCL it is an error.
func writeSecret(path, secret string, ifThere int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|ifThere, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(secret + "\n"); err != nil {
		_ = f.Close() // The write's error says more.
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		_ = f.Close() // As above.
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close() // As above.
		return err
	}
	return f.Close()
}
