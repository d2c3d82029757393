package domain

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Sample is one observed value of one series.
type Sample struct {
	Labels Labels    // with the metric name under [MetricName]
	Value  float64   // any value, NaN and the infinities included
	At     time.Time // when it was observed; data, never compared with a clock
}

type sampleJSON struct {
	Labels Labels    `json:"labels"`
	Value  string    `json:"value"`
	At     time.Time `json:"at"`
}

// MarshalJSON writes the value as a string, because JSON numbers have no NaN and no infinities.
func (s Sample) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(sampleJSON{s.Labels, FormatValue(s.Value), s.At.UTC()})
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	return data, nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sample) UnmarshalJSON(data []byte) error {
	var j sampleJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	v, err := strconv.ParseFloat(j.Value, 64)
	if err != nil {
		return fmt.Errorf("sample: value: %w", err)
	}
	*s = Sample{Labels: j.Labels, Value: v, At: j.At}
	return nil
}

// FormatValue writes a value in the shortest form that reads back as the same one: 0.5, 1e+06, NaN, +Inf.
func FormatValue(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
