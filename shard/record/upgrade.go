package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// PackUnits are OTA units that came from a pack.
type PackUnits struct {
	Pool  uint32
	Units uint32
}

// Upgrade is an OTA that carries an id (R17).
type Upgrade struct {
	Ordinal   uint64 // the device
	ID        []byte
	Size      int64
	Month     uint32 // in which its units were taken
	Allowance uint32
	Packs     []PackUnits
	Voided    bool
	VoidDay   uint32 // on which it was voided, by the product's calendar; 0 unless it is
}

// Upgrade says how an OTA with an id stands.
func (b *Builder) Upgrade(u Upgrade) {
	c := append(b.cols[colEffects], effectUpgrade)
	c = binary.AppendUvarint(c, u.Ordinal)
	c = append(c, byte(len(u.ID)))
	c = append(c, u.ID...)
	b.cols[colEffects] = u.AppendValue(c)
}

// AppendValue appends everything of u but the device and the id: how the ledger keeps it under them.
func (u *Upgrade) AppendValue(c []byte) []byte {
	c = binary.AppendUvarint(c, uint64(u.Size))
	c = binary.AppendUvarint(c, uint64(u.Month))
	c = binary.AppendUvarint(c, uint64(u.Allowance))
	var voided byte
	if u.Voided {
		voided = 1
	}
	c = append(c, voided)
	c = binary.AppendUvarint(c, uint64(u.VoidDay))
	c = binary.AppendUvarint(c, uint64(len(u.Packs)))
	for _, p := range u.Packs {
		c = binary.AppendUvarint(c, uint64(p.Pool))
		c = binary.AppendUvarint(c, uint64(p.Units))
	}
	return c
}

// DecodeUpgrade reads what AppendValue wrote.
func DecodeUpgrade(b []byte) (Upgrade, error) {
	r := reader{b: b}
	u := r.upgrade()
	if r.err == nil && len(r.b) > 0 {
		r.err = errors.New("bytes behind the last pack")
	}
	if r.err != nil {
		return Upgrade{}, fmt.Errorf("upgrade: %w", r.err)
	}
	return u, nil
}

func (r *reader) upgrade() (u Upgrade) {
	u.Size = int64(r.uvarint())
	u.Month, u.Allowance = uint32(r.uvarint()), uint32(r.uvarint())
	u.Voided = r.byte() == 1
	u.VoidDay = uint32(r.uvarint())
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		u.Packs = append(u.Packs, PackUnits{Pool: uint32(r.uvarint()), Units: uint32(r.uvarint())})
	}
	return u
}
