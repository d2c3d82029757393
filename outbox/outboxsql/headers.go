package outboxsql

import (
	"encoding/binary"
	"errors"
	"fmt"

	"example.com/once/outbox"
)

// headersV1 is the first byte of stored headers: after it come, for each header, the
// length of its key, the key, the length of its value and the value; lengths are varints.
const headersV1 = 1

// encodeHeaders returns the stored form of headers, nil for none.
func encodeHeaders(headers []outbox.Header) []byte {
	if len(headers) == 0 {
		return nil
	}
	size := 1
	for _, h := range headers {
		size += 2*binary.MaxVarintLen16 + len(h.Key) + len(h.Value)
	}
	b := append(make([]byte, 0, size), headersV1)
	for _, h := range headers {
		for _, s := range [2]string{h.Key, h.Value} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

func decodeHeaders(b []byte) ([]outbox.Header, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != headersV1 {
		return nil, fmt.Errorf("headers: unknown form %d", b[0])
	}
	var headers []outbox.Header
	for rest := string(b[1:]); rest != ""; {
		var h outbox.Header
		for _, s := range [2]*string{&h.Key, &h.Value} {
			// A varint of a length that is allowed has three bytes at most.
			n, size := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen32)]))
			if size <= 0 || n > outbox.MaxHeaders || int(n) > len(rest)-size {
				return headers, errors.New("headers: cut off")
			}
			end := size + int(n)
			*s, rest = rest[size:end], rest[end:]
		}
		headers = append(headers, h)
	}
	return headers, nil
}
