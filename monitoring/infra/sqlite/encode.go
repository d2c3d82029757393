package sqlite

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"example.com/once/monitoring/domain"
)

// encodeTime writes an instant as nanoseconds since 1970; the zero time is 0.
func encodeTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func decodeTime(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// alertJSON is an alert as it stands in the column rule.state.
type alertJSON struct {
	Fingerprint domain.Fingerprint `json:"fingerprint"`
	Phase       domain.Phase       `json:"phase"`
	Labels      domain.Labels      `json:"labels"`
	Series      domain.Labels      `json:"series"`
	Annotations domain.Labels      `json:"annotations"`
	Value       string             `json:"value"` // JSON has no NaN
	ActiveAt    time.Time          `json:"active_at,omitzero"`
	FiredAt     time.Time          `json:"fired_at,omitzero"`
	KeepSince   time.Time          `json:"keep_since,omitzero"`
	ResolvedAt  time.Time          `json:"resolved_at,omitzero"`
}

func encodeState(s domain.State) (string, error) {
	alerts := make([]alertJSON, len(s.Alerts))
	for i, a := range s.Alerts {
		alerts[i] = alertJSON{
			Fingerprint: a.Fingerprint, Phase: a.Phase, Labels: a.Labels, Series: a.Series, Annotations: a.Annotations,
			Value: domain.FormatValue(a.Value), ActiveAt: a.ActiveAt.UTC(), FiredAt: a.FiredAt.UTC(),
			KeepSince: a.KeepSince.UTC(), ResolvedAt: a.ResolvedAt.UTC(),
		}
	}
	data, err := json.Marshal(alerts)
	if err != nil {
		return "", fmt.Errorf("sqlite: encode a state: %w", err)
	}
	return string(data), nil
}

func decodeState(slot int64, data []byte) (domain.State, error) {
	var alerts []alertJSON
	if err := json.Unmarshal(data, &alerts); err != nil {
		return domain.State{}, fmt.Errorf("sqlite: decode a state: %w", err)
	}
	s := domain.State{Slot: decodeTime(slot)}
	for _, a := range alerts {
		v, err := decodeValue(a.Value)
		if err != nil {
			return domain.State{}, err
		}
		s.Alerts = append(s.Alerts, domain.Alert{
			Fingerprint: a.Fingerprint, Phase: a.Phase, Labels: a.Labels, Series: a.Series, Annotations: a.Annotations,
			Value: v, ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, KeepSince: a.KeepSince, ResolvedAt: a.ResolvedAt,
		})
	}
	return s, nil
}

func decodeValue(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("sqlite: decode a value: %w", err)
	}
	return v, nil
}

func encodeTexts(labels, annotations domain.Labels) (string, string, error) {
	l, err := json.Marshal(labels)
	if err != nil {
		return "", "", fmt.Errorf("sqlite: encode labels: %w", err)
	}
	a, err := json.Marshal(annotations)
	if err != nil {
		return "", "", fmt.Errorf("sqlite: encode annotations: %w", err)
	}
	return string(l), string(a), nil
}

// inputJSON is what the column evaluation.input holds. The history is not in it: it is
// the inputs of the rows before.
type inputJSON struct {
	Samples []domain.Sample `json:"samples,omitempty"`
	Unknown []domain.Labels `json:"unknown,omitempty"`
}

// packAbove is the size from which an input is packed. Labels repeat themselves, so it
// becomes about a tenth.
const packAbove = 512

// packer is a compressor, which is expensive to make.
type packer struct {
	buf bytes.Buffer
	z   *zlib.Writer
}

func (d *DB) encodeInput(in domain.Input) ([]byte, error) {
	data, err := json.Marshal(inputJSON{in.Samples, in.Unknown})
	if err != nil {
		return nil, fmt.Errorf("sqlite: encode an input: %w", err)
	}
	if len(data) < packAbove {
		return data, nil
	}
	p, ok := d.pack.Get().(*packer)
	if !ok {
		p = &packer{z: zlib.NewWriter(nil)}
	}
	defer d.pack.Put(p)
	p.buf.Reset()
	p.z.Reset(&p.buf)
	if _, err := p.z.Write(data); err != nil {
		return nil, fmt.Errorf("sqlite: pack an input: %w", err)
	}
	if err := p.z.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: pack an input: %w", err)
	}
	return bytes.Clone(p.buf.Bytes()), nil
}

// decodeInput reads what encodeInput wrote: JSON begins with a brace, which no packed input does.
func decodeInput(data []byte) (domain.Input, error) {
	if len(data) > 0 && data[0] != '{' {
		z, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			return domain.Input{}, fmt.Errorf("sqlite: unpack an input: %w", err)
		}
		if data, err = io.ReadAll(z); err != nil {
			return domain.Input{}, fmt.Errorf("sqlite: unpack an input: %w", err)
		}
	}
	var in inputJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return domain.Input{}, fmt.Errorf("sqlite: decode an input: %w", err)
	}
	return domain.Input{Samples: in.Samples, Unknown: in.Unknown}, nil
}
