package shard

import (
	"context"
	"fmt"
	"math"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// logSource is the log as views read it when memory no longer has what they lack.
type logSource struct{ e *Engine }

// First implements views.Source.
func (s logSource) First() uint64 { return s.e.o.Log.First() }

// Last implements views.Source.
func (s logSource) Last() views.Position {
	seq, _, chain := s.e.o.Log.Last()
	return views.Position{Seq: seq, Chain: chain}
}

// ChainOf implements views.Source.
func (s logSource) ChainOf(seq uint64) (views.Position, error) {
	chain, err := s.e.o.Log.ChainOf(seq)
	return views.Position{Seq: seq, Chain: chain}, err
}

// Read implements views.Source.
func (s logSource) Read(after uint64, bytesMax int) ([]*views.Group, error) {
	var block commitlog.Block
	if err := s.e.o.Log.ReadForward(context.Background(), after, 0, math.MaxInt64, bytesMax, &block); err != nil {
		return nil, err
	}
	groups := make([]*views.Group, 0, len(block.Groups))
	for i := range block.Groups {
		g, err := s.group(&block.Groups[i])
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", block.Groups[i].Seq, err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (s logSource) group(g *commitlog.Group) (*views.Group, error) {
	head, err := record.DecodeHead(g.Head)
	if err != nil {
		return nil, err
	}
	out := &views.Group{
		Position: views.Position{Seq: g.Seq, Chain: g.Chain}, FirstMs: g.FirstMs, LastMs: g.LastMs, Head: head,
	}
	raw := make([][]byte, len(g.Chunks))
	for i, stored := range g.Chunks {
		if raw[i], err = s.e.compress.Decompress(nil, stored); err != nil {
			return nil, err
		}
		c, err := record.Open(raw[i])
		if err != nil {
			return nil, err
		}
		if column := c.EffectsColumn(); len(column) > 0 {
			out.Effects = append(out.Effects, column)
		}
	}
	return out, nil
}
