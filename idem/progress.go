package idem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// checkpoints are the finished steps of a key, in order: what a run leaves for the next
// attempt in [Progress.Data]. Stores need not know; to them it is bytes.
type checkpoints struct {
	names []string
	data  map[string][]byte // encoded like a result
}

const checkpointsVersion byte = 1

var errProgress = errors.New("idem: what an earlier attempt has left cannot be read")

func (c *checkpoints) add(name string, data []byte) {
	if c.data == nil {
		c.data = make(map[string][]byte)
	}
	if _, again := c.data[name]; !again {
		c.names = append(c.names, name)
	}
	c.data[name] = data
}

// marshal returns a version, then for each step its name and result behind their lengths.
func (c *checkpoints) marshal() []byte {
	b := []byte{checkpointsVersion}
	for _, name := range c.names {
		for _, part := range []string{name, string(c.data[name])} {
			b = binary.AppendUvarint(b, uint64(len(part)))
			b = append(b, part...)
		}
	}
	return b
}

// unmarshalCheckpoints undoes marshal. It shares the bytes of b.
func unmarshalCheckpoints(b []byte) (checkpoints, error) {
	var c checkpoints
	if len(b) == 0 {
		return c, nil
	}
	if b[0] != checkpointsVersion {
		return c, fmt.Errorf("%w: format %d", errProgress, b[0])
	}
	next := func() (part []byte) {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b[n:])) {
			return nil
		}
		b = b[n:]
		part, b = b[:size:size], b[size:]
		return part
	}
	for b = b[1:]; len(b) > 0; {
		name, data := next(), next()
		if _, again := c.data[string(name)]; name == nil || data == nil || again {
			return checkpoints{}, fmt.Errorf("%w: it is damaged", errProgress)
		}
		c.add(string(name), data)
	}
	return c, nil
}

// list is for people: the names, one a line.
func (c *checkpoints) list() []byte {
	if len(c.names) == 0 {
		return nil
	}
	return []byte(strings.Join(c.names, "\n"))
}

// checkpoints reads what was left for l's key.
func (g *Guard) checkpoints(l Lease, data []byte) (checkpoints, error) {
	data, err := g.unpack(formProgress, l, data)
	if err != nil {
		return checkpoints{}, fmt.Errorf("%w: %w", errProgress, err)
	}
	return unmarshalCheckpoints(data)
}
