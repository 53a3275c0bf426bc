// Package results is what a run leaves behind: invocations.csv and run.json in
// a directory of its own. It is their only reader and writer.
//
// A directory is whole or absent: both files are written into a temporary
// sibling which is renamed.
package results

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

// Header is invocations.csv's first line.
const Header = "id,function,uid,group,n,arrive_ns,send_ns,start_ns,end_ns,cpu_ns,switches_vol,switches_invol,status"

// Status of an invocation.
const (
	OK     = "ok"
	Failed = "failed" // the worker said no, or the observer did not see it
)

// Invocation is one row. Times are ns of one clock per run: the guest's
// CLOCK_MONOTONIC or virtual time.
type Invocation struct {
	ID            int
	Function      string
	UID           string
	Group         string // G1 to G4, Table 1 of the paper
	N             int    // the trace's argument
	ArriveNS      int64  // its process was forked
	SendNS        int64  // the client sent the request
	StartNS       int64  // first on a CPU
	EndNS         int64  // its process ended
	CPUNS         int64
	SwitchesVol   int
	SwitchesInvol int
	Status        string
}

// Turnaround is the paper's duration: from the start of the function's process
// to its exit.
func (i Invocation) Turnaround() time.Duration { return time.Duration(i.EndNS - i.ArriveNS) }

// EndToEnd is from the client's request to the process's exit.
func (i Invocation) EndToEnd() time.Duration { return time.Duration(i.EndNS - i.SendNS) }

// Engines.
const (
	EngineVM  = "vm"
	EngineSim = "sim"
)

// Run is run.json: the conditions of a run.
type Run struct {
	Experiment string `json:"experiment"`
	Key        string `json:"key"`
	Engine     string `json:"engine"` // vm or sim
	Profile    string `json:"profile"`
	Workload   string `json:"workload"`
	Scheduler  string `json:"scheduler"`
	Round      int    `json:"round"` // from 1
	Seed       uint64 `json:"seed"`

	Parameters map[string]any `json:"parameters"` // of the scheduler

	Kernel         string `json:"kernel"` // uname -r
	KernelName     string `json:"kernel_name"`
	KernelFallback bool   `json:"kernel_fallback"` // the asked kernel's source could not be had
	KernelSource   string `json:"kernel_source"`
	ConfigDigest   string `json:"config_digest"`
	Accelerator    string `json:"accelerator"`
	CPUs           int    `json:"cpus"`
	FunctionCPUs   int    `json:"function_cpus"`
	ImageDigest    string `json:"image_digest"`
	Docker         string `json:"docker"`
	Revision       string `json:"revision"` // git, with + if the tree was changed

	Invocations  int           `json:"invocations"`
	TimeFactor   float64       `json:"time_factor"` // CPU time as a multiple of the paper's
	LoadAsked    float64       `json:"load_asked"`  // of the functions' CPUs, 0 to 1
	LoadAchieved float64       `json:"load_achieved"`
	MeanGap      time.Duration `json:"mean_gap_ns"`
	LateP50      time.Duration `json:"late_p50_ns"` // sent − due
	LateP99      time.Duration `json:"late_p99_ns"`
	LateMax      time.Duration `json:"late_max_ns"`
	Took         time.Duration `json:"took_ns"`

	Failed  int      `json:"failed"`
	Lost    uint64   `json:"lost"` // events
	Errors  []string `json:"errors"`
	Valid   bool     `json:"valid"`
	Invalid []string `json:"invalid"` // reasons
}

// Judge fills Valid and Invalid from what was recorded.
func (r *Run) Judge() {
	r.Invalid = []string{}
	if r.MeanGap > 0 && r.LateP50 > r.MeanGap/20 {
		r.Invalid = append(r.Invalid, fmt.Sprintf("the client fell behind: half of the requests were more than %s late, 5 %% of the mean gap is %s", r.LateP50, r.MeanGap/20))
	}
	if r.Failed > 0 {
		r.Invalid = append(r.Invalid, fmt.Sprintf("%d invocations failed", r.Failed))
	}
	if r.Lost > 0 {
		r.Invalid = append(r.Invalid, fmt.Sprintf("%d events were lost", r.Lost))
	}
	r.Valid = len(r.Invalid) == 0
}

// Result is a directory's content.
type Result struct {
	Dir         string
	Run         Run
	Invocations []Invocation
}

const (
	csvName  = "invocations.csv"
	jsonName = "run.json"
)

// Write makes dir with both files, whole or not at all. An existing dir is
// replaced.
func Write(dir string, run Run, invocations []Invocation) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".partial-")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	var b strings.Builder
	if err := WriteCSV(&b, invocations); err != nil {
		return err
	}
	meta, err := json.MarshalIndent(run, "", "\t")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := errors.Join(writeSync(filepath.Join(tmp, csvName), []byte(b.String())),
		writeSync(filepath.Join(tmp, jsonName), append(meta, '\n'))); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

func writeSync(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// WriteCSV writes the header and a row per invocation.
func WriteCSV(w io.Writer, invocations []Invocation) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintln(bw, Header)
	for _, i := range invocations {
		fmt.Fprintf(bw, "%d,%s,%s,%s,%d,%d,%d,%d,%d,%d,%d,%d,%s\n", i.ID, i.Function, i.UID, i.Group, i.N,
			i.ArriveNS, i.SendNS, i.StartNS, i.EndNS, i.CPUNS, i.SwitchesVol, i.SwitchesInvol, i.Status)
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// ReadCSV reads what WriteCSV wrote. Errors begin with name:line.
func ReadCSV(name string, r io.Reader) ([]Invocation, error) {
	cr := csv.NewReader(r)
	cr.FieldsPerRecord = 13
	cr.ReuseRecord = true
	var out []Invocation
	for line := 1; ; line++ {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			if line == 1 {
				return nil, fmt.Errorf("%s:1: empty: want the header %s", name, Header)
			}
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		if line == 1 {
			if strings.Join(rec, ",") != Header {
				return nil, fmt.Errorf("%s:1: header %q: want %s", name, strings.Join(rec, ","), Header)
			}
			continue
		}
		var bad error
		num := func(i int) int64 {
			n, err := strconv.ParseInt(rec[i], 10, 64)
			if err != nil && bad == nil {
				bad = fmt.Errorf("%s:%d: %s: %q is not a number", name, line, strings.Split(Header, ",")[i], rec[i])
			}
			return n
		}
		inv := Invocation{ID: int(num(0)), Function: rec[1], UID: rec[2], Group: rec[3], N: int(num(4)),
			ArriveNS: num(5), SendNS: num(6), StartNS: num(7), EndNS: num(8), CPUNS: num(9),
			SwitchesVol: int(num(10)), SwitchesInvol: int(num(11)), Status: strings.Clone(rec[12])}
		inv.Function, inv.UID, inv.Group = strings.Clone(inv.Function), strings.Clone(inv.UID), strings.Clone(inv.Group)
		if inv.Status != OK && inv.Status != Failed && bad == nil {
			bad = fmt.Errorf("%s:%d: status: %q: allowed: ok, failed", name, line, inv.Status)
		}
		if inv.Status == OK && inv.EndNS < inv.ArriveNS && bad == nil {
			bad = fmt.Errorf("%s:%d: end_ns is before arrive_ns", name, line)
		}
		if bad != nil {
			return nil, bad
		}
		out = append(out, inv)
	}
}

// Read reads one result directory.
func Read(dir string) (Result, error) {
	meta := filepath.Join(dir, jsonName)
	data, err := os.ReadFile(meta)
	if err != nil {
		return Result{}, fmt.Errorf("results: %w", err)
	}
	res := Result{Dir: dir}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&res.Run); err != nil {
		return Result{}, fmt.Errorf("%s: %w", meta, err)
	}
	f, err := os.Open(filepath.Join(dir, csvName))
	if err != nil {
		return Result{}, fmt.Errorf("results: %w", err)
	}
	defer f.Close()
	res.Invocations, err = ReadCSV(f.Name(), f)
	return res, err
}

// ReadAll reads every result below root/<experiment>/<key>, in name order.
func ReadAll(root string) ([]Result, error) {
	files, err := filepath.Glob(filepath.Join(root, "*", "*", jsonName))
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	slices.Sort(files)
	var all []Result
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(filepath.Dir(f)), ".") {
			continue // being written
		}
		r, err := Read(filepath.Dir(f))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// planName lists, per experiment, the keys that its latest run consists of.
const planName = "plan.json"

// WritePlan records which keys below root/experiment belong together.
func WritePlan(root, experiment string, keys []string) error {
	data, err := json.MarshalIndent(keys, "", "\t")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	dir := filepath.Join(root, experiment)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dir, planName), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// ReadPlan reads the results of an experiment's latest plan, and the keys of
// those that are missing.
func ReadPlan(root, experiment string) (found []Result, missing []string, err error) {
	path := filepath.Join(root, experiment, planName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("results: %w", err)
	}
	var keys []string
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, k := range keys {
		r, err := Read(filepath.Join(root, experiment, k))
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, k)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		found = append(found, r)
	}
	return found, missing, nil
}
