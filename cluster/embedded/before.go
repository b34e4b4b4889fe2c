package embedded

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
)

// Before calls ask with a server that has another name and stores nothing, to reach the other servers by: what lies in
// the directory takes no part in anything yet. Connections to others come within a second.
func Before(ctx context.Context, o Options, ask func(s *Server) error) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	password := rand.Text()
	settings, err := o.settings(o.newName(), password)
	if err != nil {
		return err
	}
	s, err := o.begin(settings)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.connect(ctx, password); err != nil {
		return fmt.Errorf("ask the other servers before node %q is one of them: %w", o.Node, err)
	}
	return ask(s)
}

const (
	idBytes  = 8
	idDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// IDOf returns what other servers know the server of a name by.
func IDOf(name string) string {
	hash := sha256.Sum256([]byte(name))
	id := hash[:idBytes]
	for i := range id {
		id[i] = idDigits[int(id[i])%len(idDigits)]
	}
	return string(id)
}
