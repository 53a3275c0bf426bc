// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are read when Prometheus asks.
type gauges struct{ p *Pool }

var (
	queueDesc   = prometheus.NewDesc("ol_queue_length", "Requests that wait for an instance.", []string{"function"}, nil)
	sandboxDesc = prometheus.NewDesc("ol_sandboxes", "Sandboxes by state.", []string{"function", "state"}, nil)
)

func (g gauges) Describe(ch chan<- *prometheus.Desc) { ch <- queueDesc; ch <- sandboxDesc }

func (g gauges) Collect(ch chan<- prometheus.Metric) {
	// Functions on several ports may have one name: their numbers are added.
	queue := map[string]int{}
	sandboxes := map[[2]string]int{}
	for _, f := range g.p.All() {
		f.mu.Lock()
		queue[f.ID.Name] += f.waiting.Len()
		for _, in := range f.instances {
			sandboxes[[2]string{f.ID.Name, in.state()}]++
		}
		f.mu.Unlock()
	}
	for name, n := range queue {
		ch <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, float64(n), name)
	}
	for k, n := range sandboxes {
		ch <- prometheus.MustNewConstMetric(sandboxDesc, prometheus.GaugeValue, float64(n), k[0], k[1])
	}
}

// Debug lists the sandboxes, a line each.
func (p *Pool) Debug() string {
	var b strings.Builder
	for _, f := range p.All() {
		f.mu.Lock()
		for _, in := range f.instances {
			name := "none yet"
			if in.SB != nil {
				name = in.SB.String()
			}
			fmt.Fprintf(&b, "SANDBOX %s (DOCKER) %s uid=%s %s requests=%d\n--------\n", name, f.ID.Name, f.Labels.UID, in.state(), in.inflight)
		}
		f.mu.Unlock()
	}
	return b.String() + "\n"
}
