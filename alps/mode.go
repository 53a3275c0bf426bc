package alps

import (
	"fmt"
	"math"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// Orders in which sibling functions are served; all are values of the bias.
const (
	OrderOff     = "off"     // no bias: CFS's order, slices only
	OrderFIFO    = "fifo"    // equal bias: by arrival at the runqueue
	OrderStrict  = "strict"  // a lower rank always goes first
	OrderBounded = "bounded" // a lower rank goes first unless it comes Step later
)

const (
	// DefaultStep is the bias between neighbouring ranks under bounded.
	DefaultStep = time.Second
	// strictStep is longer than anything waits.
	strictStep = 100 * time.Second
	// The hooks answer an int of microseconds.
	maxHook = math.MaxInt32 * time.Microsecond
	maxRank = 10_000
)

// Policies, by what sets the kernel's map.
const (
	policyCFS    = "cfs"    // nothing
	policyALPS   = "alps"   // package policy, every period
	policySFS    = "sfs"    // the inter-arrival time, every period
	policyManual = "manual" // a client
)

// mode is a checked client.Mode.
type mode struct {
	wire   client.Mode
	order  string
	step   time.Duration
	params policy.Params
}

func parseMode(m client.Mode) (mode, error) {
	out := mode{wire: m, order: m.Order, step: DefaultStep, params: policy.Paper()}
	switch m.Policy {
	case policyCFS:
		return out, nil
	case policyALPS, policySFS, policyManual:
	default:
		return mode{}, fmt.Errorf("policy %q: allowed: alps, cfs, sfs, manual", m.Policy)
	}
	switch m.Order {
	case "":
		out.order = OrderBounded
	case OrderOff, OrderFIFO, OrderStrict, OrderBounded:
	default:
		return mode{}, fmt.Errorf("order %q: allowed: off, fifo, strict, bounded", m.Order)
	}
	if m.Step != "" {
		step, err := time.ParseDuration(m.Step)
		if err != nil || step < time.Microsecond || step > maxHook {
			return mode{}, fmt.Errorf("step %q: allowed: 1us to %s", m.Step, maxHook)
		}
		out.step = step
	}
	if m.Params != nil {
		out.params = *m.Params
	}
	return out, out.params.Validate()
}

// entry is what the kernel is told of a decision.
func (m mode) entry(d policy.Decision) (bpf.Entry, error) {
	if d.Rank < 1 || d.Rank > maxRank {
		return bpf.Entry{}, fmt.Errorf("function %s: rank %d: allowed: 1 to %d", d.UID, d.Rank, maxRank)
	}
	if d.Slice < 0 || d.Slice > bpf.MaxSlice {
		return bpf.Entry{}, fmt.Errorf("function %s: slice %s: allowed: 0 to %s", d.UID, d.Slice, bpf.MaxSlice)
	}
	var bias time.Duration
	switch m.order {
	case OrderFIFO:
		bias = time.Microsecond // 0 would mean no opinion
	case OrderStrict:
		bias = time.Duration(d.Rank) * strictStep
	case OrderBounded:
		bias = time.Duration(d.Rank) * min(m.step, maxHook/time.Duration(d.Rank))
	}
	return bpf.Entry{BiasUS: micros(min(bias, maxHook)), SliceUS: micros(d.Slice)}, nil
}

func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }
