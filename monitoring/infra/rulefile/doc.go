// Package rulefile reads alerting rules from files in Prometheus' form:
//
//	groups:
//	  - name: node
//	    interval: 15s
//	    rules:
//	      - alert: NodeDown
//	        expr: up{job="node"} == 0
//	        for: 1m
//	        keep_firing_for: 5m
//	        labels: {severity: critical}
//	        annotations:
//	          summary: "{{ $labels.instance }} does not answer"
//
// A group has name, interval, limit, labels and rules; a rule has alert, expr, for,
// keep_firing_for, labels and annotations. An expression is what
// [domain.ParseCondition] reads. Everything else is refused, recording rules too, with file, line,
// column and reason, because a rule that is not understood must not look as if it watched something.
//
// A rule's identity is group/name. Where a group has several alerts of one name, as
// is usual for severities, each is group/name{labels} with its own labels; they must differ in
// these.
package rulefile
