package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/netip"
)

// Headers of a request that one node of a cluster forwards to another: what the nodes know each other by, and the
// address of the client. A node that forwards removes what the client sent under these names.
const (
	HeaderHop    = "Meterd-Hop"
	HeaderClient = "Meterd-Client"
)

// Hop is what the nodes of a cluster know each other by. The empty one knows nobody.
type Hop string

// Inner returns what nodes know each other by when they ask for what no client may: another key, so that a request that
// is forwarded for a client never opens such a door, whatever its path.
func (h Hop) Inner() Hop {
	if h == "" {
		return "" // It knows nobody either.
	}
	sum := sha256.Sum256([]byte("meterd inner " + h))
	return Hop(hex.EncodeToString(sum[:]))
}

// Holds reports whether a request that carries key comes from a node.
func (h Hop) Holds(key []byte) bool {
	return h != "" && subtle.ConstantTimeCompare([]byte(h), key) == 1
}

// Origin returns the address of the client that a request came from: the one that a node tells, given as a text, if it
// has the key, and else remote, 4 or 16 bytes. So penalties concern the client and not the node that it came through.
func (h Hop) Origin(remote, key, client []byte) []byte {
	if !h.Holds(key) {
		return remote
	}
	address, err := netip.ParseAddr(string(client))
	if err != nil {
		return remote
	}
	return address.WithZone("").AsSlice()
}
