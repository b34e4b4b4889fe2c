package main_test

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// newDice returns what a part of a test draws its chances from, so that parts that run side by side do not disturb each
// other's.
func newDice(seed, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
