// SPDX-License-Identifier: Apache-2.0

// Package stats counts and times what a worker does, as OpenLambda's /stats and
// as Prometheus's /metrics.
package stats

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Stage is a part of a request's way that is timed. The names are OpenLambda's.
type Stage int

// Stages in the order of a request's way.
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
	Overhead prometheus.Summary   // seconds that the worker itself adds to a request
	Registry *prometheus.Registry // what /metrics shows

	count, sumNS [stages]atomic.Int64
	seconds      *prometheus.HistogramVec // by function and stage
	requests     *prometheus.CounterVec   // by function and status
	coldStarts   *prometheus.CounterVec   // by function
	deaths       *prometheus.CounterVec   // by function and reason
	log          *slog.Logger             // nil: durations are not logged
	functions    sync.Map                 // *Function by name
}

// Function is the statistics of one function.
type Function struct {
	s          *Stats
	name       string
	seconds    [stages]prometheus.Observer
	ok         prometheus.Counter // status 200
	ColdStarts prometheus.Counter
}

// New returns statistics of nothing yet. If log is not nil, every stage's duration is logged to it.
func New(log *slog.Logger) *Stats {
	s := &Stats{Registry: prometheus.NewRegistry(), log: log}
	s.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ol_stage_seconds", Help: "Duration of a request's stages by function; function is empty where there is none.",
		Buckets: prometheus.ExponentialBuckets(1e-4, 2, 20), // 0.1 ms to 52 s
	}, []string{"function", "stage"})
	s.Overhead = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "ol_overhead_seconds", Help: "What the worker adds to a request: its duration but for the wait for an instance and the instance's answer.",
		Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
	})
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ol_invocations_total", Help: "Requests to /run by function and HTTP status; function is empty where there is none.",
	}, []string{"function", "status"})
	s.coldStarts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ol_cold_starts_total", Help: "Sandboxes that became ready, by function.",
	}, []string{"function"})
	s.deaths = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ol_deaths_total", Help: "Sandboxes and processes in them that ended without being told to, by function and reason: oom, signal, exit, gone, unknown.",
	}, []string{"function", "reason"})
	s.Registry.MustRegister(s.seconds, s.Overhead, s.requests, s.coldStarts, s.deaths, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Function returns the statistics of the function called name, "" for none.
func (s *Stats) Function(name string) *Function {
	if f, ok := s.functions.Load(name); ok {
		return f.(*Function)
	}
	f := &Function{s: s, name: name, ok: s.requests.WithLabelValues(name, "200"), ColdStarts: s.coldStarts.WithLabelValues(name)}
	for i, stage := range stageNames {
		f.seconds[i] = s.seconds.WithLabelValues(name, strings.TrimSuffix(stage, "()"))
	}
	got, _ := s.functions.LoadOrStore(name, f)
	return got.(*Function)
}

// Since records that a stage began at begun and ends now, and returns its duration.
func (f *Function) Since(st Stage, begun time.Time) time.Duration {
	d := time.Since(begun)
	f.s.count[st].Add(1)
	f.s.sumNS[st].Add(int64(d))
	f.seconds[st].Observe(d.Seconds())
	if f.s.log != nil {
		f.s.log.Info("stage took", "function", f.name, "stage", stageNames[st], "ms", d.Milliseconds())
	}
	return d
}

// Answered counts a request by its status.
func (f *Function) Answered(status string) {
	if status == "200" {
		f.ok.Inc()
		return
	}
	f.s.requests.WithLabelValues(f.name, status).Inc()
}

// Died counts the end of a sandbox, or of a process in one, that the worker did not ask for. reason "" is unknown.
func (f *Function) Died(reason string) {
	if reason == "" {
		reason = "unknown"
	}
	f.s.deaths.WithLabelValues(f.name, reason).Inc()
}

// Snapshot is the count and the average in ms of each stage that has been, by OpenLambda's keys.
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
