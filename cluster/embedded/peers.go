package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Peer is a server of the group that keeps what streams there are and who has replicas of them.
type Peer struct {
	ID      string `json:"peer"` // what the group knows it by: a hash of its name
	Name    string `json:"name"` // as far as the server that leads the group has heard it since its start
	Current bool   `json:"current"`
	Offline bool   `json:"offline"`
	// Active is how long ago the leader heard it, 0 if it has not yet. Peers takes one that was not heard for silentMax
	// for offline: servers themselves do so after half a minute.
	Active time.Duration `json:"active"`
}

// group is what the leading server says of it.
type group struct {
	Error *apiError `json:"error"`
	Data  struct {
		Meta *struct {
			Leader   string `json:"leader"`
			Peer     string `json:"peer"`
			Replicas []Peer `json:"replicas"`
		} `json:"meta_cluster"`
	} `json:"data"`
}

type apiError struct {
	Description string `json:"description"`
}

const (
	groupSubject  = "$SYS.REQ.SERVER.PING.JSZ"
	removeSubject = "$JS.API.SERVER.REMOVE"
)

// Peers returns the servers of the group, by its leader's word.
func (s *Server) Peers(ctx context.Context) ([]Peer, error) {
	m, err := s.system.RequestWithContext(ctx, groupSubject, []byte(`{"leader_only":true}`))
	if err != nil {
		return nil, fmt.Errorf("ask which servers there are: %w", err)
	}
	return decodePeers(m.Data)
}

// decodePeers reads the answer of the server that leads the group.
func decodePeers(b []byte) ([]Peer, error) {
	var g group
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("which servers there are: %w", err)
	}
	switch {
	case g.Error != nil:
		return nil, fmt.Errorf("which servers there are: %s", g.Error.Description)
	case g.Data.Meta == nil || g.Data.Meta.Peer == "":
		return nil, errors.New("which servers there are: the answer is not of the server that leads them")
	}
	lead := Peer{ID: g.Data.Meta.Peer, Name: g.Data.Meta.Leader, Current: true}
	list := append([]Peer{lead}, g.Data.Meta.Replicas...)
	for i := range list[1:] {
		p := &list[i+1]
		p.Offline = p.Offline || p.Active > silentMax || p.Active == 0 && !p.Current
	}
	return list, nil
}

// Remove removes a server from the group, and its replicas from the streams. It returns when a majority of those that
// are left has recorded it; replicas are placed on other servers after that.
func (s *Server) Remove(ctx context.Context, id string) error {
	ask, err := json.Marshal(struct {
		ID string `json:"peer_id"`
	}{id})
	if err != nil {
		return fmt.Errorf("remove server %s: %w", id, err)
	}
	m, err := s.system.RequestWithContext(ctx, removeSubject, ask)
	if err != nil {
		return fmt.Errorf("remove server %s: %w", id, err)
	}
	var answer struct {
		Error   *apiError `json:"error"`
		Success bool      `json:"success"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("remove server %s: %w", id, err)
	}
	switch {
	case answer.Error != nil:
		return fmt.Errorf("remove server %s: %s", id, answer.Error.Description)
	case !answer.Success:
		return fmt.Errorf("remove server %s: it was not done", id)
	}
	return nil
}
