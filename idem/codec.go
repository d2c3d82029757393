package idem

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Codec turns results into bytes and back. Both methods are called concurrently.
// Unmarshal must not keep or change data.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }         //nolint:wrapcheck // encodeValue does
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) } //nolint:wrapcheck // decode does

// A stored result is one byte that says what follows, then that. Stores need not know:
// to them it is bytes.
const (
	tagValue byte = 1 // a result, by the Codec, or as it is if it was a []byte
	tagError byte = 2 // a recordedError in JSON

	// Before any of them, and before progress, may come how it is packed; see form.go.

	tagDeflated byte = 3
	tagSealed   byte = 4
)

type recordedError struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// encodeValue returns v as it is stored.
func encodeValue[T any](c Codec, v T) ([]byte, error) {
	var body []byte
	switch v := any(v).(type) {
	case []byte:
		body = v
	case struct{}:
	default:
		var err error
		if body, err = c.Marshal(v); err != nil {
			return nil, fmt.Errorf("idem: encode a result of type %T: %w", v, err)
		}
	}
	data := make([]byte, 1+len(body))
	data[0] = tagValue
	copy(data[1:], body)
	return data, nil
}

// encodeError returns err as it is stored.
func encodeError(err error) ([]byte, error) {
	rec := recordedError{Message: err.Error()}
	if coder, ok := errors.AsType[interface {
		error
		Code() string
	}](err); ok {
		rec.Code = coder.Code()
	}
	body, jsonErr := json.Marshal(rec)
	if jsonErr != nil {
		return nil, fmt.Errorf("idem: encode a recorded error: %w", jsonErr)
	}
	return append([]byte{tagError}, body...), nil
}

// decode returns the outcome that data holds: a value, or the error that was recorded.
// The bytes of a []byte are shared with data.
func decode[T any](c Codec, data []byte) (T, error) {
	body, err := decodeBody(data)
	if err != nil {
		var zero T
		return zero, err
	}
	return decodeValue[T](c, body)
}

// decodeValue returns the value that body is the encoding of.
func decodeValue[T any](c Codec, body []byte) (T, error) {
	var v T
	switch p := any(&v).(type) {
	case *[]byte:
		*p = body
	case *struct{}:
	default:
		if err := c.Unmarshal(body, p); err != nil {
			var zero T
			return zero, fmt.Errorf("%w that decodes into %T: %w", ErrNoResult, zero, err)
		}
	}
	return v, nil
}

// body returns the encoded value that a record which is Done holds, or the error that was
// recorded.
func (g *Guard) body(rec Record) ([]byte, error) {
	data, err := g.unpack(formOutcome, rec.Lease, rec.Result)
	if err != nil {
		return nil, fmt.Errorf("%w that can be read: %w", ErrNoResult, err)
	}
	return decodeBody(data)
}

// decodeBody returns the encoded value that data holds, or the error that was recorded.
func decodeBody(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, ErrNoResult
	}
	body := data[1:len(data):len(data)]
	switch data[0] {
	case tagValue:
		return body, nil
	case tagError:
		var rec recordedError
		if err := json.Unmarshal(body, &rec); err != nil {
			return nil, fmt.Errorf("%w: recorded error: %w", ErrNoResult, err)
		}
		return nil, &RecordedError{Code: rec.Code, Message: rec.Message}
	default:
		return nil, fmt.Errorf("%w that this release can read (format %d)", ErrNoResult, data[0])
	}
}
