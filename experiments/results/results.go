// SPDX-License-Identifier: Apache-2.0

// Package results reads and writes the results of runs, each in a directory of its
// own: run.json, invocations.csv, and slices.csv where on-CPU segments were counted.
// What was computed and not run has a table.csv instead of invocations. The
// package is the only reader and writer of these files.
//
// A directory is whole or absent: its files are written into a temporary
// sibling which is renamed.
package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Header is invocations.csv's first line.
const Header = "id,function,uid,group,n,arrive_ns,send_ns,start_ns,end_ns,cpu_ns,switches_vol,switches_invol,status"

// Values of an invocation's Status.
const (
	OK     = "ok"
	Failed = "failed" // the worker refused it, the observer did not see it, or a simulation was given up
)

// Invocation is one row of invocations.csv. Times are ns of one clock per run: the
// guest's CLOCK_MONOTONIC, or the simulator's, which begins at 0.
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
	CPUNS         int64  // CPU time, with threads and descendants
	SwitchesVol   int    // times it blocked
	SwitchesInvol int    // times it lost the CPU to another invocation
	Status        string // OK or Failed
}

// Turnaround is the paper's duration: from the start of the function's process
// to its exit.
func (i Invocation) Turnaround() time.Duration { return time.Duration(i.EndNS - i.ArriveNS) }

// EndToEnd is from the client's request to the process's exit.
func (i Invocation) EndToEnd() time.Duration { return time.Duration(i.EndNS - i.SendNS) }

// Engines.
const (
	EngineVM   = "vm"
	EngineSim  = "sim"
	EngineHost = "host" // computed by the program itself; nothing was scheduled
)

// Run is run.json: the conditions of a run. What an engine does not have is
// left out.
type Run struct {
	Key       string `json:"key"`
	Engine    string `json:"engine"` // vm, sim or host
	Profile   string `json:"profile,omitzero"`
	Workload  string `json:"workload,omitzero"`
	Scheduler string `json:"scheduler,omitzero"`
	Round     int    `json:"round,omitzero"` // from 1
	Seed      uint64 `json:"seed,omitzero"`

	Parameters map[string]any `json:"parameters"` // of the scheduler

	Kernel         string `json:"kernel,omitzero"` // uname -r
	KernelName     string `json:"kernel_name,omitzero"`
	KernelFallback bool   `json:"kernel_fallback,omitzero"` // the asked kernel's source could not be had
	KernelSource   string `json:"kernel_source,omitzero"`
	ConfigDigest   string `json:"config_digest,omitzero"`
	Accelerator    string `json:"accelerator,omitzero"`
	QEMU           string `json:"qemu,omitzero"` // key of the build, in virtual time
	CPUs           int    `json:"cpus,omitzero"`
	FunctionCPUs   int    `json:"function_cpus,omitzero"`
	ImageDigest    string `json:"image_digest,omitzero"`
	Docker         string `json:"docker,omitzero"`
	Revision       string `json:"revision,omitzero"` // git, with + if the tree was changed or has new source

	Invocations  int     `json:"invocations,omitzero"`   // in invocations.csv
	TimeFactor   float64 `json:"time_factor,omitzero"`   // CPU time as a multiple of the paper's
	LoadAsked    float64 `json:"load_asked,omitzero"`    // CPU time demanded / CPU time of the functions' CPUs
	LoadAchieved float64 `json:"load_achieved,omitzero"` // the same, of the CPU time that was used
	// Deployment says which components ran on which CPUs (package config), and PlatformPerRequest
	// the CPU time of worker, Docker and the functions' servers beside invocations.
	Deployment         string        `json:"deployment,omitzero"`
	PlatformPerRequest time.Duration `json:"platform_per_request_ns,omitzero"`
	// PlatformModelled is the part of PlatformPerRequest that is a model: by so much the
	// paper's platform exceeds ours. The containers use it before a process begins.
	PlatformModelled time.Duration `json:"platform_modelled_ns,omitzero"`

	MeanGap time.Duration `json:"mean_gap_ns,omitzero"`
	LateP50 time.Duration `json:"late_p50_ns,omitzero"` // sent − due
	LateP99 time.Duration `json:"late_p99_ns,omitzero"`
	LateMax time.Duration `json:"late_max_ns,omitzero"`
	Took    time.Duration `json:"took_ns,omitzero"` // until the last invocation ended

	Program  *Program       `json:"program,omitempty"` // the scheduler, where it is a program
	Sim      *Sim           `json:"sim,omitempty"`
	Observer map[string]any `json:"observer,omitempty"` // further counts of the kernel's observer

	Failed  int      `json:"failed"`
	Lost    uint64   `json:"lost"` // events
	Errors  []string `json:"errors"`
	Broken  []string `json:"broken,omitempty"` // conditions that did not hold from begin to end
	Valid   bool     `json:"valid"`
	Invalid []string `json:"invalid"` // reasons
}

// Program is a scheduler that is a program and decided by sched_ext.
type Program struct {
	Command   string `json:"command"`
	Source    string `json:"source,omitzero"` // package and version that it was built from
	Digest    string `json:"digest"`          // of the file, its libraries and its loader
	Ops       string `json:"ops"`             // its name in the kernel
	EnableSeq string `json:"enable_seq"`      // the kernel's count of loaded schedulers
	Output    string `json:"output,omitzero"` // the end of it
}

// Sim is what is known of simulated runs only. Durations are of simulated time.
type Sim struct {
	Model      string        `json:"model,omitempty"` // digest of the simulator's and the policy's source
	Span       time.Duration `json:"span_ns"`         // first arrival to last end
	BusyShare  float64       `json:"busy_share"`      // of the cores over the span: demand, refills, switches, platform
	Switches   int64         `json:"switches"`
	Migrations int64         `json:"migrations"`
	Updates    int           `json:"updates"`    // of the policy
	Unfinished int           `json:"unfinished"` // invocations, when the run was given up
}

// Judge fills Valid and Invalid from the other fields.
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
	r.Invalid = append(r.Invalid, r.Broken...)
	if s := r.Sim; s != nil && s.Unfinished > 0 {
		r.Invalid = append(r.Invalid, fmt.Sprintf("%d of %d invocations had not ended after %s of simulated time: the load does not drain", s.Unfinished, r.Invocations, s.Span))
	}
	r.Valid = len(r.Invalid) == 0
}

// Result is a directory's content.
type Result struct {
	Dir         string
	Run         Run
	Invocations []Invocation
	Slices      []Slices // nil: not counted
	Table       *Table   // of EngineHost, and then there are no invocations
}

// Written is when the result was written: the modification time of run.json.
func (r Result) Written() (time.Time, error) {
	info, err := os.Stat(filepath.Join(r.Dir, jsonName))
	if err != nil {
		return time.Time{}, fmt.Errorf("results: %w", err)
	}
	return info.ModTime(), nil
}

const (
	csvName    = "invocations.csv"
	jsonName   = "run.json"
	slicesName = "slices.csv"
	tableName  = "table.csv"
)

// Write makes dir, whole or not at all. A result that is there is replaced.
func Write(dir string, r Result) error {
	return whole(dir, func(tmp string) error {
		for name, write := range r.files() {
			if err := writeSync(filepath.Join(tmp, name), write); err != nil {
				return err
			}
		}
		return nil
	})
}

// whole makes dir of the files that fill writes into a temporary sibling.
func whole(dir string, fill func(tmp string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), partial)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := fill(tmp); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := remove(dir); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// files are the names and contents of a result.
func (r Result) files() map[string]func(io.Writer) error {
	files := map[string]func(io.Writer) error{jsonName: func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "\t")
		return enc.Encode(r.Run)
	}}
	if r.Run.Engine == EngineHost {
		files[tableName] = r.Table.write
		return files
	}
	files[csvName] = func(w io.Writer) error { return WriteCSV(w, r.Invocations) }
	if r.Slices != nil {
		files[slicesName] = func(w io.Writer) error { return writeSlices(w, r.Slices) }
	}
	return files
}

func writeSync(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Sync(), f.Close())
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
	var out []Invocation
	err := ReadRows(name, r, Header, func(f *Row) error {
		inv := Invocation{ID: int(f.Num(0)), Function: f.Text(1), UID: f.Text(2), Group: f.Text(3), N: int(f.Num(4)),
			ArriveNS: f.Num(5), SendNS: f.Num(6), StartNS: f.Num(7), EndNS: f.Num(8), CPUNS: f.Num(9),
			SwitchesVol: int(f.Num(10)), SwitchesInvol: int(f.Num(11)), Status: f.Text(12)}
		out = append(out, inv)
		switch {
		case f.Err != nil:
			return f.Err
		case inv.Status != OK && inv.Status != Failed:
			return fmt.Errorf("status: %q: allowed: ok, failed", inv.Status)
		case inv.Status == OK && inv.EndNS < inv.ArriveNS:
			return errors.New("end_ns is before arrive_ns")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ReadRun reads run.json of one result directory. If it is absent, the error is an fs.ErrNotExist.
func ReadRun(dir string) (Run, error) {
	var run Run
	meta := filepath.Join(dir, jsonName)
	data, err := os.ReadFile(meta)
	if err != nil {
		return run, fmt.Errorf("results: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&run); err != nil {
		return run, fmt.Errorf("%s: %w", meta, err)
	}
	return run, nil
}

// Read reads one result directory. If it or a file other than slices.csv is absent, the error is an fs.ErrNotExist.
func Read(dir string) (Result, error) {
	run, err := ReadRun(dir)
	if err != nil {
		return Result{}, err
	}
	res := Result{Dir: dir, Run: run}
	if res.Run.Engine == EngineHost {
		res.Table = &Table{}
		return res, readFile(dir, tableName, res.Table.read)
	}
	err = readFile(dir, csvName, func(name string, r io.Reader) (err error) {
		res.Invocations, err = ReadCSV(name, r)
		return err
	})
	if err != nil {
		return res, err
	}
	err = readFile(dir, slicesName, func(name string, r io.Reader) (err error) {
		res.Slices, err = readSlices(name, r)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // not every run counts them
	}
	return res, err
}

func readFile(dir, name string, read func(name string, r io.Reader) error) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	defer f.Close()
	return read(f.Name(), f)
}
