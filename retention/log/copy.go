package log

import "fmt"

// HeaderBytesMax is the length of the longest header that AppendHeader makes.
const HeaderBytesMax = frameFixedBytes + (1+ChunksMax)*partBytes

// AppendHeader appends to dst what another copy of the log must know of a group beside its content: its frame's
// header, with salt 0. Behind the group with the Chain `before` the group has the Chain that is returned. It keeps
// nothing of g and leaves g.Chain as it is.
func AppendHeader(dst []byte, g *Group, before Chain) ([]byte, Chain, error) {
	if err := g.validate(); err != nil {
		return dst, Chain{}, err
	}
	at := len(dst)
	var f frame
	f.of(g, 0, before)
	dst = f.append(dst)
	return dst, chainOf(dst[at:]), nil
}

// DecodeFrame reads a header of AppendHeader and the content behind it, head first, then the chunks; it proves both,
// and returns the Chain that the group continues. The group points into b, which must end with it.
func DecodeFrame(b []byte, g *Group) (before Chain, err error) {
	var f frame
	n, _, err := f.decodeGroup(b, 0, g, nil)
	if err != nil {
		return before, err
	}
	if n != len(b) {
		return before, fmt.Errorf("group %d: %d bytes follow its frame", g.Seq, len(b)-n)
	}
	return f.before, nil
}

// HeaderChain returns the Chain of the group whose header AppendHeader made, and the group.
func HeaderChain(header []byte) (seq uint64, chain Chain, err error) {
	var f frame
	n, err := f.decode(header, 0)
	if err != nil {
		return 0, chain, err
	}
	return f.seq, chainOf(header[:n]), nil
}
