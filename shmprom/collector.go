// Package shmprom gives Prometheus what a [shmconn.Listener] carries.
//
//	l, err := shmconn.Listen("unix", path)
//	prometheus.MustRegister(shmprom.NewCollector(l.(*shmconn.Listener), nil))
package shmprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shmconn/shmconn/shmconn"
)

// metric is one time series, or one for each value of a label.
type metric struct {
	name, help string
	label      string // empty for none
	kind       prometheus.ValueType
	values     func(s *shmconn.ListenerStats, emit func(v float64, labels ...string))
}

var metrics = []metric{
	{"clients_total", "Clients that have connected.", "", prometheus.CounterValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.Accepted)) }},
	{"connections_total", "Connections that the application has accepted, by what carries them.", "transport", prometheus.CounterValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) {
			emit(float64(s.Shared), "shared")
			emit(float64(s.Plain), "plain")
		}},
	{"clients_failed_total", "Clients that have got no connection, by reason: refused by policy or a limit, failed in the handshake, evicted by newer ones.", "reason", prometheus.CounterValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) {
			emit(float64(s.Refused), "refused")
			emit(float64(s.Failed), "failed")
			emit(float64(s.Evicted), "evicted")
		}},
	{"clients_limited_total", "Clients that a limit has denied shared memory.", "", prometheus.CounterValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.Limited)) }},
	{"read_bytes_total", "Payload received over shared memory and read.", "", prometheus.CounterValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.BytesRead)) }},
	{"written_bytes_total", "Payload written to shared memory.", "", prometheus.CounterValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.BytesWritten)) }},
	{"handshakes", "Handshakes under way.", "", prometheus.GaugeValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.Pending)) }},
	{"backlog", "Connections that wait for the application to accept them.", "", prometheus.GaugeValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.Ready)) }},
	{"connections", "Open connections over shared memory.", "", prometheus.GaugeValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.Conns)) }},
	{"memory_limit_bytes", "What the memory files of the open connections can come to.", "", prometheus.GaugeValue,
		func(s *shmconn.ListenerStats, emit func(float64, ...string)) { emit(float64(s.Memory)) }},
}

type collector struct {
	listener *shmconn.Listener
	descs    []*prometheus.Desc // of metrics
}

// NewCollector returns a collector of the counters of l, which may be closed
// meanwhile. All metrics have the prefix shmconn_ and the given labels, by which
// several listeners of a process can be told apart; nil means none. A collection
// costs as much as l.Stats, and those who use the connections nothing.
func NewCollector(l *shmconn.Listener, labels prometheus.Labels) prometheus.Collector {
	c := &collector{listener: l}
	for _, m := range metrics {
		var variable []string
		if m.label != "" {
			variable = []string{m.label}
		}
		c.descs = append(c.descs, prometheus.NewDesc("shmconn_"+m.name, m.help, variable, labels))
	}
	return c
}

// Describe sends the descriptions of all metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect sends the values of all metrics.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	stats := c.listener.Stats()
	for i, m := range metrics {
		m.values(&stats, func(v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labels...)
		})
	}
}
