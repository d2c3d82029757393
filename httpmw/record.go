package httpmw

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/http"
)

// A record is what the store keeps of an answer: flat, versioned, and decoded without
// copying the body.
//
//	offset  size  what
//	0       1     version, 1
//	1       1     flags: bit 0 = tombstone (no body was kept)
//	2       2     status, big endian, 100..999; 0 = unknown (hijacked)
//	4       4     length of the body, big endian
//	8       4     length of the fields, big endian
//	12            the body
//	              the fields: count of all values; then headers, then trailers, each a count
//	              followed by (name, count of values, values); counts and lengths are uvarints
//	end-4   4     CRC-32C of all but the body, big endian
//
// The body comes before the fields so that a recorder can write it straight to its
// place before the fields are known. The checksum leaves the body out so that a replay
// takes the same time for any size; the lengths tell a truncated body.
const (
	recordVersion   = 1
	recordPrefix    = 12
	recordSuffix    = 4
	recordTombstone = 1
)

var errRecord = errors.New("httpmw: the record is damaged or of a later version")

// field is one header or trailer; no values means that the handler removed it.
type field struct {
	name   string
	values []string
}

type record struct {
	status    int
	tombstone bool
	body      []byte // shared with the encoded record
	headers   []field
	trailers  []field
}

// sealRecord completes buf, which holds recordPrefix bytes of room and then the body,
// and returns the encoded record; it may share buf's memory.
func sealRecord(buf []byte, status int, tombstone bool, headers, trailers []field) []byte {
	body := len(buf) - recordPrefix
	total := 0
	for _, f := range headers {
		total += len(f.values)
	}
	for _, f := range trailers {
		total += len(f.values)
	}
	buf = binary.AppendUvarint(buf, uint64(total))
	buf = appendFields(buf, headers)
	buf = appendFields(buf, trailers)
	fields := len(buf) - recordPrefix - body

	buf[0], buf[1] = recordVersion, 0
	if tombstone {
		buf[1] = recordTombstone
	}
	binary.BigEndian.PutUint16(buf[2:], uint16(status)) //nolint:gosec // at most 999
	binary.BigEndian.PutUint32(buf[4:], uint32(body))   //nolint:gosec // at most MaxResponse
	binary.BigEndian.PutUint32(buf[8:], uint32(fields)) //nolint:gosec // at most MaxResponse
	return binary.BigEndian.AppendUint32(buf, checksum(buf[:recordPrefix], buf[recordPrefix+body:]))
}

func appendFields(buf []byte, fields []field) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(fields)))
	for _, f := range fields {
		buf = binary.AppendUvarint(buf, uint64(len(f.name)))
		buf = append(buf, f.name...)
		buf = binary.AppendUvarint(buf, uint64(len(f.values)))
		for _, v := range f.values {
			buf = binary.AppendUvarint(buf, uint64(len(v)))
			buf = append(buf, v...)
		}
	}
	return buf
}

func checksum(prefix, fields []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, t, prefix), t, fields)
}

// openRecord decodes data. The body shares its memory.
func openRecord(data []byte) (record, error) {
	if len(data) < recordPrefix+recordSuffix || data[0] != recordVersion || data[1]&^recordTombstone != 0 {
		return record{}, errRecord
	}
	status := int(binary.BigEndian.Uint16(data[2:]))
	body := uint64(binary.BigEndian.Uint32(data[4:]))
	fields := uint64(binary.BigEndian.Uint32(data[8:]))
	tombstone := data[1] == recordTombstone
	switch {
	case recordPrefix+body+fields+recordSuffix != uint64(len(data)),
		status < 100 && (status != 0 || !tombstone), status > 999,
		tombstone && body != 0:
		return record{}, errRecord
	}
	end := recordPrefix + body
	if checksum(data[:recordPrefix], data[end:end+fields]) != binary.BigEndian.Uint32(data[end+fields:]) {
		return record{}, errRecord
	}
	d := fieldDecoder{s: string(data[end : end+fields])}
	total := d.count()
	d.values = make([]string, 0, total)
	rec := record{status: status, tombstone: tombstone, body: data[recordPrefix:end:end]}
	rec.headers = d.fields()
	rec.trailers = d.fields()
	if d.bad || d.s != "" || len(d.values) != total {
		return record{}, errRecord
	}
	return rec, nil
}

// fieldDecoder cuts one string into pieces, and all values from one slice.
type fieldDecoder struct {
	s      string
	values []string
	bad    bool
}

// count reads a number of things that take at least a byte each.
func (d *fieldDecoder) count() int {
	var n uint64
	for i := 0; i < len(d.s) && i < 5; i++ {
		b := d.s[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.s = d.s[i+1:]
			if n > uint64(len(d.s)) {
				break
			}
			return int(n) //nolint:gosec // at most len(d.s)
		}
	}
	d.bad = true
	return 0
}

func (d *fieldDecoder) text() string {
	n := d.count()
	if d.bad {
		return ""
	}
	t := d.s[:n]
	d.s = d.s[n:]
	return t
}

func (d *fieldDecoder) fields() []field {
	n := d.count()
	if d.bad || n == 0 {
		return nil
	}
	fs := make([]field, 0, min(n, 64))
	for range n {
		f := field{name: d.text()}
		from := len(d.values)
		for range d.count() {
			if len(d.values) == cap(d.values) {
				d.bad = true
				break
			}
			d.values = append(d.values, d.text())
		}
		if d.bad || f.name == "" {
			d.bad = true
			return nil
		}
		if to := len(d.values); to > from {
			f.values = d.values[from:to:to]
		}
		fs = append(fs, f)
	}
	return fs
}

// set puts fields into h; one without values is removed in a way that net/http does not
// fill in again.
func setFields(h http.Header, fields []field) {
	for _, f := range fields {
		h[f.name] = f.values
	}
}
