package sealed

// appendHeader appends the first line of a CSV.
func appendHeader[R any](dst []byte, columns []column[R], focus bool) []byte {
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		if focus {
			dst = append(dst, c.focus...)
		} else {
			dst = append(dst, c.name...)
		}
	}
	return append(dst, '\n')
}

// appendCSV appends a line of a CSV (RFC 4180, but lines end as in Unix). No value needs quotes: names have neither
// commas nor quotes, and the rest are times, numbers and words.
func appendCSV[R any](dst []byte, columns []column[R], r *R) []byte {
	for i := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = columns[i].append(dst, r)
	}
	return append(dst, '\n')
}

// appendJSON appends a line of NDJSON: every column is a member, in order.
func appendJSON[R any](dst []byte, columns []column[R], r *R) []byte {
	dst = append(dst, '{')
	for i := range columns {
		c := &columns[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), c.name...), '"', ':')
		if c.isText {
			dst = append(c.append(append(dst, '"'), r), '"')
		} else {
			dst = c.append(dst, r)
		}
	}
	return append(dst, '}', '\n')
}
