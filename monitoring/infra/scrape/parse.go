package scrape

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"example.com/once/monitoring/domain"
	"example.com/once/retry"
)

// parse reads a whole answer.
func parse(body *capped, h http.Header, limit int) ([]domain.Sample, error) {
	format := expfmt.ResponseFormat(h)
	switch format.FormatType() {
	case expfmt.TypeUnknown:
		// A target that names no type, or a plain one, is read as text, as Prometheus 2 does.
		format = expfmt.NewFormat(expfmt.TypeTextPlain)
	case expfmt.TypeTextPlain, expfmt.TypeOpenMetrics:
	default:
		return nil, retry.Stop(fmt.Errorf("%w: %q was not asked for", ErrFormat, h.Get("Content-Type")))
	}
	dec := &expfmt.SampleDecoder{Dec: expfmt.NewDecoder(body, format), Opts: &expfmt.DecodeOptions{}}
	var samples []domain.Sample
	for {
		var v model.Vector
		err := dec.Decode(&v)
		switch {
		case errors.Is(err, io.EOF):
			return samples, nil
		case body.err != nil && !errors.Is(body.err, io.EOF):
			return nil, fmt.Errorf("reading the answer: %w", body.err)
		case err != nil:
			return nil, retry.Stop(fmt.Errorf("%w: %w", ErrFormat, err))
		}
		if len(samples)+len(v) > limit {
			return nil, retry.Stop(fmt.Errorf("%w: more than %d samples", ErrTooLarge, limit))
		}
		for _, s := range v {
			labels := make(map[string]string, len(s.Metric))
			for name, value := range s.Metric {
				labels[string(name)] = string(value)
			}
			samples = append(samples, domain.Sample{Labels: domain.NewLabels(labels), Value: float64(s.Value)})
		}
	}
}
