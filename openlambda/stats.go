package openlambda

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// stage is a part of a request's way that is timed. The names are OpenLambda's.
type stage int

const (
	stageRequest stage = iota
	stageInvoke
	stagePull
	stageWait
	stageCreate
	stageServe
	stagePause
	stageUnpause
	stageDestroy
	stages
)

var stageNames = [stages]string{"web-request", "LambdaFunc.Invoke", "pull-lambda", "LambdaInstance-WaitSandbox", "Create()",
	"ServeHTTP", "Pause()", "Unpause()", "Destroy()"}

// stats counts and times. /stats and stats.json are OpenLambda's view of it,
// /metrics is Prometheus's.
type stats struct {
	count, sumNS [stages]atomic.Int64
	seconds      [stages]prometheus.Observer
	overhead     prometheus.Summary
	invocations  *prometheus.CounterVec
	registry     *prometheus.Registry
	log          *slog.Logger // nil: durations are not logged
}

func newStats(log *slog.Logger) *stats {
	s := &stats{registry: prometheus.NewRegistry(), log: log}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ol_stage_seconds", Help: "Duration of a request's stages.",
		Buckets: prometheus.ExponentialBuckets(1e-4, 2, 20), // 0.1 ms to 52 s
	}, []string{"stage"})
	for i, name := range stageNames {
		s.seconds[i] = seconds.WithLabelValues(strings.TrimSuffix(name, "()"))
	}
	s.overhead = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "ol_overhead_seconds", Help: "What the worker adds to a request: its duration but for the wait for an instance and the instance's answer.",
		Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
	})
	s.invocations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ol_invocations_total", Help: "Requests to /run by function and HTTP status; function is empty where there is none.",
	}, []string{"function", "status"})
	s.registry.MustRegister(seconds, s.overhead, s.invocations, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// since records that a stage began at begun and ends now.
func (s *stats) since(st stage, begun time.Time) time.Duration {
	d := time.Since(begun)
	s.count[st].Add(1)
	s.sumNS[st].Add(int64(d))
	s.seconds[st].Observe(d.Seconds())
	if s.log != nil {
		s.log.Info("latency", "stage", stageNames[st], "ms", d.Milliseconds())
	}
	return d
}

// snapshot is counts and averages in ms, by OpenLambda's keys.
func (s *stats) snapshot() map[string]int64 {
	out := map[string]int64{}
	for i, name := range stageNames {
		if n := s.count[i].Load(); n > 0 {
			out[name+".cnt"] = n
			out[name+".ms-avg"] = s.sumNS[i].Load() / n / int64(time.Millisecond)
		}
	}
	return out
}

// gauges are read when Prometheus asks.
type gauges struct{ w *Worker }

var (
	queueDesc   = prometheus.NewDesc("ol_queue_length", "Requests that wait for an instance.", []string{"function"}, nil)
	sandboxDesc = prometheus.NewDesc("ol_sandboxes", "Sandboxes by state.", []string{"function", "state"}, nil)
)

func (g gauges) Describe(ch chan<- *prometheus.Desc) { ch <- queueDesc; ch <- sandboxDesc }

func (g gauges) Collect(ch chan<- prometheus.Metric) {
	// Functions on several ports may have one name: their numbers are added.
	queue := map[string]int{}
	sandboxes := map[[2]string]int{}
	for _, f := range g.w.all() {
		f.mu.Lock()
		queue[f.id.Name] += f.waiting.Len()
		for _, in := range f.instances {
			sandboxes[[2]string{f.id.Name, in.state()}]++
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
