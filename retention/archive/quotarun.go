package archive

import "encoding/binary"

// quotaRun is what neighbouring rows that a quota denied have in common, by the device or the product.
type quotaRun struct {
	limit    uint32
	more     int64 // used, less the row's Used
	resetsMs int64
}

// addQuota adds the row to the run of those with the same quota.
func (b *block) addQuota(r *Row) {
	if run := (quotaRun{r.Quota.Limit, int64(r.Quota.Used) - int64(r.Used), r.Quota.ResetsAtMs}); run != b.quota {
		b.endQuota()
		b.quota = run
	}
	b.quotaRows++
}

func (b *block) endQuota() {
	if b.quotaRows == 0 {
		return
	}
	d := binary.AppendUvarint(b.cols[colQuotas], b.quotaRows)
	d = appendVarint(binary.AppendUvarint(d, uint64(b.quota.limit)), b.quota.more)
	b.cols[colQuotas] = appendVarint(d, b.quota.resetsMs-b.resetsMs)
	b.quotaRows, b.resetsMs = 0, b.quota.resetsMs
}

// numbers reads the quota that denied the row or would have.
func (b *blockReader) numbers() {
	c := &b.cols[colQuotas]
	if b.quotaLeft == 0 {
		if b.quotaLeft = c.uvarint(); b.quotaLeft == 0 {
			c.fail()
			return
		}
		b.quota.limit, b.quota.more = uint32(c.uvarint()), c.varint()
		b.quota.resetsMs += c.varint()
	}
	b.quotaLeft--
	b.row.Quota = Quota{
		Limit: b.quota.limit, Used: uint32(int64(b.row.Used) + b.quota.more), ResetsAtMs: b.quota.resetsMs,
	}
}
