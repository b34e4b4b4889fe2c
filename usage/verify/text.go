package verify

import (
	"fmt"
	"time"
)

// countsText says what the word with an index (0 is w2) counts.
func countsText(i int, word uint64) string {
	switch i {
	case 0:
		return fmt.Sprintf("%d up and %d down", upOf(word), downOf(word))
	case 1:
		return fmt.Sprintf("%d denied", countsOf(word))
	case 2:
		return fmt.Sprintf("%d of the allowance, %d of packs, %d denied, %d voids", allowanceOf(word), packsOf(word),
			otaDeniedOf(word), voidsOf(word))
	default:
		return fmt.Sprintf("licence %d in state %d", generationOf(word), licenseOf(word)&3)
	}
}

// quarterName returns when a quarter of an hour begins.
func quarterName(quarter uint32) string {
	return time.UnixMilli(int64(quarter) * quarterMs).UTC().Format("2006-01-02 15:04 UTC")
}
