package recovery

import (
	"bytes"
	"testing"
)

// The pieces of a shard's image have its number each, and are the image together.
func TestShardPieces(t *testing.T) {
	image := []byte("the image of a shard")
	for n := 2; n < len(image)+3; n++ {
		var all []byte
		for piece := range shardPieces(append([]byte{7}, image...), n) {
			if len(piece) > n || len(piece) < 2 || piece[0] != 7 {
				t.Fatalf("a piece of at most %d bytes is %q", n, piece)
			}
			all = append(all, piece[1:]...)
		}
		if !bytes.Equal(all, image) {
			t.Fatalf("pieces of %d bytes are %q together", n, all)
		}
	}
}
