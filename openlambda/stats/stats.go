// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Stage is a part of a request's way that is timed. The names are OpenLambda's.
type Stage int

const (
	Request Stage = iota
	Invoke
	Pull
	Wait
	Create
	Serve
	Pause
	Unpause
	Destroy
	stages
)

var stageNames = [stages]string{"web-request", "LambdaFunc.Invoke", "pull-lambda", "LambdaInstance-WaitSandbox", "Create()",
	"ServeHTTP", "Pause()", "Unpause()", "Destroy()"}

// Stats counts and times. /stats and stats.json are OpenLambda's view of it,
// /metrics is Prometheus's.
type Stats struct {
	count, sumNS [stages]atomic.Int64
	seconds      [stages]prometheus.Observer
	Overhead     prometheus.Summary
	Invocations  *prometheus.CounterVec
	Registry     *prometheus.Registry
	log          *slog.Logger // nil: durations are not logged
}

// New returns what counts and times.
func New(log *slog.Logger) *Stats {
	s := &Stats{Registry: prometheus.NewRegistry(), log: log}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ol_stage_seconds", Help: "Duration of a request's stages.",
		Buckets: prometheus.ExponentialBuckets(1e-4, 2, 20), // 0.1 ms to 52 s
	}, []string{"stage"})
	for i, name := range stageNames {
		s.seconds[i] = seconds.WithLabelValues(strings.TrimSuffix(name, "()"))
	}
	s.Overhead = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "ol_overhead_seconds", Help: "What the worker adds to a request: its duration but for the wait for an instance and the instance's answer.",
		Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
	})
	s.Invocations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ol_invocations_total", Help: "Requests to /run by function and HTTP status; function is empty where there is none.",
	}, []string{"function", "status"})
	s.Registry.MustRegister(seconds, s.Overhead, s.Invocations, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Since records that a stage began at begun and ends now.
func (s *Stats) Since(st Stage, begun time.Time) time.Duration {
	d := time.Since(begun)
	s.count[st].Add(1)
	s.sumNS[st].Add(int64(d))
	s.seconds[st].Observe(d.Seconds())
	if s.log != nil {
		s.log.Info("latency", "stage", stageNames[st], "ms", d.Milliseconds())
	}
	return d
}

// Snapshot is counts and averages in ms, by OpenLambda's keys.
func (s *Stats) Snapshot() map[string]int64 {
	out := map[string]int64{}
	for i, name := range stageNames {
		if n := s.count[i].Load(); n > 0 {
			out[name+".cnt"] = n
			out[name+".ms-avg"] = s.sumNS[i].Load() / n / int64(time.Millisecond)
		}
	}
	return out
}
