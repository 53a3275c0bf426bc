/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy steady: a function yields by the Gittins index of the invocation
 * that CFS runs next in it, which is worth so much by the CPU time that it has
 * used (docs/policy.md). The rules are those of alps/model, steady.go: a test
 * compares them.
 */

#include "never_ran.bpf.h"

#define STEADY_STEPS  16
#define SLOPE_BITS    20
#define MIN_INDEX_NS  (100 * NSEC_PER_USEC)
#define BEYOND_NS     (4 * 1000 * NSEC_PER_USEC)
#define LEAST_SLICE_US 1000
#define MAX_SLICE_US  (10 * 1000 * 1000)
#define IDLE_NS	      (3600ULL * 1000 * 1000 * NSEC_PER_USEC)
#define MAX_INDEX_NS  ((1ULL << 47) - 1)
#define RATIO_BITS    16
#define MIN_BIAS_US   1
#define MAX_BIAS_US   0x7fffffffULL

/* The group that goes first on a CPU because it has waited, for one slice. */
struct guard {
	__u64 se;	 /* its address; 0: none */
	__u64 queued_ns; /* its alps_queued: which slice it is about */
	__u64 chosen_ns; /* by rq_clock */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* cpus: the loader */
	__type(key, __u32);
	__type(value, struct guard);
} guards SEC(".maps");

/* The index of an invocation that has used so much. */
static __always_inline __u64 index_of(struct steady *s, __u64 used)
{
	struct step *step;
	__s64 index;
	__u32 i = 0;

	if (used >= s->seen_ns)
		return used > s->least_ns ? used : s->least_ns;
#pragma unroll
	for (__u32 half = STEADY_STEPS / 2; half; half /= 2)
		if (s->steps[(i + half) & (STEADY_STEPS - 1)].from_ns <= used)
			i += half;
	step = &s->steps[i & (STEADY_STEPS - 1)];
	index = step->index_ns + ((__s64)((used - step->from_ns) * step->slope) >> SLOPE_BITS);
	return index > MIN_INDEX_NS ? index : MIN_INDEX_NS;
}

/* The CPU time used at which the quantum of such an invocation ends. */
static __always_inline __u64 end_of(struct steady *s, __u64 used)
{
	__u64 end;
	__u32 i = 0;

	if (used >= s->seen_ns)
		return 2 * used + BEYOND_NS;
#pragma unroll
	for (__u32 half = STEADY_STEPS / 2; half; half /= 2)
		if (s->steps[(i + half) & (STEADY_STEPS - 1)].from_ns <= used)
			i += half;
	end = s->steps[i & (STEADY_STEPS - 1)].end_ns;
	return end > used ? end : used + 1;
}

/* By how much a function of that index yields, in half octaves above the floor. */
static __always_inline __u32 steady_bias_us(struct steady *s, __u64 index)
{
	__u64 ratio, rest, us;
	__u32 log = 0;

	if (index <= s->floor_ns)
		return MIN_BIAS_US;
	if (index > MAX_INDEX_NS)
		index = MAX_INDEX_NS;
	ratio = (index << RATIO_BITS) / (s->floor_ns ?: 1);
	rest = ratio;
	if (rest >> 32) {
		log += 32;
		rest >>= 32;
	}
	if (rest >> 16) {
		log += 16;
		rest >>= 16;
	}
	if (rest >> 8) {
		log += 8;
		rest >>= 8;
	}
	if (rest >> 4) {
		log += 4;
		rest >>= 4;
	}
	if (rest >> 2) {
		log += 2;
		rest >>= 2;
	}
	log += rest >> 1;
	if (log < RATIO_BITS)
		return MIN_BIAS_US;
	rest = ratio >> (log - RATIO_BITS); /* in [1, 2) */
	us = 2 * (log - RATIO_BITS) + (rest * rest >= 2ULL << (2 * RATIO_BITS));
	us = us * s->octave_us / 2;
	return us < MIN_BIAS_US ? MIN_BIAS_US : us > MAX_BIAS_US ? MAX_BIAS_US : us;
}

#define NOBODY (~0ULL) /* in place of an index */

/* The bias of a function whose next invocation has used so much; @other waits. */
static __always_inline __u32 steady_answer_bias(struct steady *s, __u64 used, __u64 other)
{
	__u64 index = index_of(s, used);

	return steady_bias_us(s, other < index ? other : index);
}

/*
 * How long an invocation keeps the CPU within its function, of which it has had
 * slice_used: to the end of its quantum. Negative: CFS's own slice, for the sake
 * of who waits and is worth more.
 */
static __always_inline int steady_answer_slice(struct steady *s, __u64 used, __u64 slice_used,
					       bool ran, __u64 other)
{
	__u64 begun, us;

	if (ran && other != NOBODY &&
	    steady_bias_us(s, other) < steady_bias_us(s, index_of(s, used)))
		return -1;
	begun = used > slice_used ? used - slice_used : 0;
	us = (end_of(s, begun) - begun) / NSEC_PER_USEC;
	return us < LEAST_SLICE_US ? LEAST_SLICE_US : us > MAX_SLICE_US ? MAX_SLICE_US : us;
}

static __always_inline void *task_of(void *se)
{
	return se - bpf_core_field_offset(struct task_struct, se);
}

/*
 * The CPU time that the invocation of task entity @se has used, of which @sum is
 * the task's own. What is no invocation, such as the function's server, is taken
 * for one that begins. @ran: it is none that waits for its first time on a CPU.
 */
static __always_inline __u64 used_by(void *se, __u64 sum, bool *ran)
{
	struct task *t;
	__u32 pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid),
			      task_of(se) + bpf_core_field_offset(struct task_struct, pid));
	t = bpf_map_lookup_elem(&tasks, &pid);
	*ran = !t || !t->never_ran;
	return t ? sum + t->others_ns : 0;
}

/* The first that waits in @q by CFS's order, as an address; NULL: none. */
static __always_inline void *first_of(struct cfs_rq *q)
{
	struct rb_node *left = BPF_CORE_READ(q, tasks_timeline.rb_leftmost);

	return left ? (void *)left - bpf_core_field_offset(struct sched_entity, run_node) : NULL;
}

/*
 * The task that CFS runs next below @se, or @se itself, and the CPU time it has
 * used; NULL: none. @waits: somebody may come before it in @se's own queue. What
 * a pointer of a known type leads to is read directly, which is cheap.
 */
static __always_inline void *next_below(struct sched_entity *se, __u64 *sum, bool *waits)
{
	struct cfs_rq *q = se->my_q;
	struct sched_entity *next;
	void *at;

	*waits = false;
	if (!q) {
		*sum = se->sum_exec_runtime;
		return se;
	}
	next = q->curr;
	if (!next)
		next = q->alps_held;
	if (next) {
		*waits = true;
		if (!next->my_q) {
			*sum = next->sum_exec_runtime;
			return next;
		}
		at = next;
	} else {
		at = first_of(q);
	}
	for (int i = 0; at && i < MAX_DEPTH; i++) { /* nested cgroups */
		q = BPF_CORE_READ((struct sched_entity *)at, my_q);
		if (!q) {
			*sum = BPF_CORE_READ((struct sched_entity *)at, sum_exec_runtime);
			return at;
		}
		at = BPF_CORE_READ(q, curr);
		if (!at)
			at = BPF_CORE_READ(q, alps_held);
		if (!at)
			at = first_of(q);
	}
	return NULL;
}

/*
 * The index of the task that waits at @node, if it was woken or moved here and has
 * not run since; else NOBODY. A
 * stranger, such as the function's server, is worth as much as a new invocation:
 * it has to run before the next one can begin.
 */
static __noinline __u64 index_if_woken(struct steady *s, struct rb_node *node)
{
	struct sched_entity *se = (void *)node - bpf_core_field_offset(struct sched_entity, run_node);
	struct task *t;
	__u32 pid = 0;

	if (!s || !node || BPF_CORE_READ(se, my_q))
		return NOBODY;
	bpf_probe_read_kernel(&pid, sizeof(pid),
			      task_of(se) + bpf_core_field_offset(struct task_struct, pid));
	t = bpf_map_lookup_elem(&tasks, &pid);
	if (t && !t->slept)
		return NOBODY;
	return index_of(s, t ? t->cpu_ns + t->others_ns : 0);
}

static __always_inline __u64 lower(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/*
 * The least index of those that wait in @q and should not wait for the end of
 * another's quantum: of an invocation that never ran (@fresh), and of whoever was
 * woken. CFS prefers who has slept, so the woken ones are at the left of the tree.
 * The leftmost alone will not do: a thread of the long invocation may be that,
 * which sleeps and wakes all the time. Of a tree of three levels all are looked at,
 * of a higher one the three levels at its left end.
 */
static __always_inline __u64 index_of_woken(struct steady *s, struct cfs_rq *q, bool fresh)
{
	__u64 index = fresh ? index_of(s, 0) : NOBODY;
	struct rb_node *top = q->tasks_timeline.rb_root.rb_node, *left, *right;

	for (int i = 0; i < 16; i++) { /* down, until two levels are below */
		struct rb_node *next = BPF_CORE_READ(top, rb_left);

		if (!next || !BPF_CORE_READ(next, rb_left) || !BPF_CORE_READ(next, rb_left, rb_left))
			break;
		top = next;
	}
	if (!top)
		return index;
	left = BPF_CORE_READ(top, rb_left);
	right = BPF_CORE_READ(top, rb_right);
	index = lower(index, index_if_woken(s, top));
	if (left) {
		index = lower(index, index_if_woken(s, left));
		index = lower(index, index_if_woken(s, BPF_CORE_READ(left, rb_left)));
		index = lower(index, index_if_woken(s, BPF_CORE_READ(left, rb_right)));
	}
	if (right) {
		index = lower(index, index_if_woken(s, right));
		index = lower(index, index_if_woken(s, BPF_CORE_READ(right, rb_left)));
		index = lower(index, index_if_woken(s, BPF_CORE_READ(right, rb_right)));
	}
	return index;
}

/* @se waits in the tree of @on, and nobody comes after it. */
static __always_inline bool is_last(struct cfs_rq *on, struct sched_entity *se)
{
	struct rb_node *node = on->tasks_timeline.rb_root.rb_node, *right;

	if (!se->on_rq || on->curr == se)
		return false;
	for (int i = 0; i < 32; i++) { /* deeper than any such tree */
		if (!node)
			return false;
		right = node->rb_right;
		if (!right)
			break;
		node = right;
	}
	return (void *)node ==
	       (void *)se + bpf_core_field_offset(struct sched_entity, run_node);
}

/* The group @se goes first for one slice, from now on or already. */
static __always_inline bool is_guarded(struct guard *g, struct steady *s, struct sched_entity *se)
{
	struct cfs_rq *on = se->cfs_rq;
	__u64 queued = se->alps_queued, now;

	if (g->se == (__u64)se && g->queued_ns == queued)
		return true;
	now = on->rq->clock;
	if ((__s64)(now - queued) < (__s64)s->guard_wait_ns ||
	    (g->se && (__s64)(now - g->chosen_ns) < (__s64)s->guard_every_ns) || !is_last(on, se))
		return false;
	g->se = (__u64)se;
	g->queued_ns = queued;
	g->chosen_ns = now;
	return true;
}

/* The guarded group still waits on @on. */
static __always_inline bool guard_waits(struct guard *g, struct cfs_rq *on)
{
	struct sched_entity *se = (void *)g->se;

	return se && on->curr != se && BPF_CORE_READ(se, alps_queued) == g->queued_ns &&
	       BPF_CORE_READ(se, on_rq) && BPF_CORE_READ(se, cfs_rq) == on;
}

/* By how much the group @se of a function with @slot yields. */
static __always_inline int steady_bias(struct steady *s, __u32 slot, struct sched_entity *se)
{
	__u32 cpu = se->cfs_rq->rq->cpu;
	struct guard *g = bpf_map_lookup_elem(&guards, &cpu);
	__s32 *fresh = never_ran_on(slot, cpu);
	__u64 sum = 0, used, other = NOBODY;
	bool ran, waits;
	void *next;

	if (g && is_guarded(g, s, se))
		return MIN_BIAS_US;
	next = next_below(se, &sum, &waits);
	if (!next)
		return steady_bias_us(s, IDLE_NS);
	used = used_by(next, sum, &ran);
	if (waits)
		other = index_of_woken(s, se->my_q, fresh && *fresh > 0);
	else if (fresh && *fresh > 0)
		other = index_of(s, 0);
	return steady_answer_bias(s, used, other);
}

/* How long @se keeps the CPU: the group of function @cgroup_id, or one below. */
static __always_inline int steady_slice(struct steady *s, __u32 slot, __u64 cgroup_id,
					struct sched_entity *se)
{
	struct cfs_rq *on = se->cfs_rq;
	__u32 cpu = on->rq->cpu;
	__u64 sum = 0, used;
	__s32 *fresh;
	bool ran, waits;
	void *next;

	if (se->my_q && se->my_q->tg->css.cgroup->kn->id == cgroup_id) {
		struct guard *g = bpf_map_lookup_elem(&guards, &cpu);

		if (g && g->se == (__u64)se && g->queued_ns == se->alps_queued)
			return s->guard_slice_us;
		if (g && guard_waits(g, on))
			return 1; /* who has waited takes over */
		return s->group_slice_us;
	}
	next = next_below(se, &sum, &waits);
	if (!next)
		return -1;
	used = used_by(next, sum, &ran);
	fresh = never_ran_on(slot, cpu);
	return steady_answer_slice(s, used, se->sum_exec_runtime - se->alps_turn, ran,
				   index_of_woken(s, on, fresh && *fresh > 0));
}
