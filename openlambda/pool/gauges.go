// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are metrics that are computed when Prometheus asks for them.
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

// Listed is a function as the worker's path /functions shows it.
type Listed struct {
	Name    string `json:"name"`
	UID     string `json:"uid"`
	Port    string `json:"port,omitempty"`
	Running int    `json:"running"` // sandboxes, by state
	Paused  int    `json:"paused"`
	Waiting int    `json:"waiting"`           // requests in the queue
	Refused string `json:"refused,omitempty"` // why the image cannot run it
}

// List is every function that was called or is configured.
func (p *Pool) List() []Listed {
	out := []Listed{}
	for _, f := range p.All() {
		f.mu.Lock()
		l := Listed{Name: f.ID.Name, UID: f.Labels.UID, Port: f.ID.Port, Waiting: f.waiting.Len()}
		for _, in := range f.instances {
			switch in.state() {
			case "running":
				l.Running++
			case "paused":
				l.Paused++
			}
		}
		if f.refused != nil {
			l.Refused = f.refused.Error()
		}
		f.mu.Unlock()
		out = append(out, l)
	}
	return out
}
