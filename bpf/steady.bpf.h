/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy steady: a function yields by the Gittins index of the invocation
 * that CFS runs next in it, which is worth so much by the CPU time that it has
 * used (docs/policy.md).
 */

#include "never_ran.bpf.h"
#include "table.bpf.h"
#include "server.bpf.h"

/* The group that goes first on a CPU because it has waited, for one slice. */
struct guard {
	__u64 se;	 /* its address; 0: none */
	__u64 queued_ns; /* its alps_queued: which slice it is about */
	__u64 chosen_ns; /* by rq_clock */
	__u64 waits;	 /* it may not have had the slice yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* cpus: the loader */
	__type(key, __u32);
	__type(value, struct guard);
} guards SEC(".maps");

static __always_inline void *task_of(void *se)
{
	return se - bpf_core_field_offset(struct task_struct, se);
}

/* A task, and what its invocation has used. */
struct account {
	__u64 sum_ns;  /* CPU time of the task */
	__u64 used_ns; /* of the invocation, the task's among it; 0 of what is no invocation */
	bool known;    /* it is one */
	bool ran;      /* it does not wait for its first time on a CPU */
};

/* A bit of an index: it may change at any time, by what another CPU does. */
#define FLEETING (1ULL << 61)

/*
 * The index of a task that is no invocation, such as one of the function's server: of that
 * with entity @se, which has used @sum. It has to run before the next invocation can begin,
 * so it is worth as much as that one; and it goes first at the begin of a burst, if the first thread
 * of its process is at the begin of one as well: the helpers of a process that computes do not bring it the CPU.
 */
static __noinline __u64 index_of_stranger(struct steady *s, void *se, __u64 sum)
{
	struct task_struct *leader = NULL;
	__u64 leader_sum = 0;

	if (!s)
		return NOBODY;
	if (!at_begin(task_of(se), sum))
		return index_of_new(s);
	bpf_probe_read_kernel(&leader, sizeof(leader),
			      task_of(se) + bpf_core_field_offset(struct task_struct, group_leader));
	if ((void *)leader == task_of(se))
		return MIN_INDEX_NS;
	bpf_probe_read_kernel(&leader_sum, sizeof(leader_sum),
			      (void *)leader + bpf_core_field_offset(struct task_struct, se.sum_exec_runtime));
	return (at_begin(leader, leader_sum) ? MIN_INDEX_NS : index_of_new(s)) | FLEETING;
}

/* The index of the task of entity @se with account @a, perhaps with FLEETING. */
static __always_inline __u64 index_by(struct steady *s, void *se, struct account *a)
{
	return a->known ? index_of(s, a->used_ns) : index_of_stranger(s, se, a->sum_ns);
}

/* The account of task entity @se, which has used @sum. */
static __always_inline void account_of(void *se, __u64 sum, struct account *a)
{
	struct task *t;
	__u32 pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid),
			      task_of(se) + bpf_core_field_offset(struct task_struct, pid));
	t = bpf_map_lookup_elem(&tasks, &pid);
	a->sum_ns = sum;
	a->known = t;
	a->ran = !t || !t->never_ran;
	a->used_ns = t ? sum + t->others_ns : 0;
}

/* The entity that waits at @node, as an address. */
static __always_inline struct sched_entity *entity_of(void *node)
{
	return node - bpf_core_field_offset(struct sched_entity, run_node);
}

/* The first that waits in @q by CFS's order, as an address; NULL: none. */
static __always_inline void *first_of(struct cfs_rq *q)
{
	struct rb_node *left = BPF_CORE_READ(q, tasks_timeline.rb_leftmost);

	return left ? entity_of(left) : NULL;
}

/* The task that CFS runs next. */
struct next {
	void *se;    /* NULL: none */
	__u64 sum_ns; /* CPU time that it has used */
	bool first;  /* it is the first in the tree of its function's queue */
	bool nested; /* it is of a cgroup within the function's */
};

/*
 * The task that CFS runs next below @se, or @se itself. What a pointer of a known
 * type leads to is read directly, which is cheap.
 */
static __always_inline void next_below(struct sched_entity *se, struct next *n)
{
	struct cfs_rq *q = se->my_q;
	struct sched_entity *next;
	void *at;

	n->se = NULL;
	n->sum_ns = 0;
	n->first = n->nested = false;
	if (!q) {
		n->se = se;
		n->sum_ns = se->sum_exec_runtime;
		return;
	}
	next = q->curr;
	if (!next)
		next = q->alps_held;
	if (next) {
		if (!next->my_q) {
			n->se = next;
			n->sum_ns = next->sum_exec_runtime;
			return;
		}
		at = next;
	} else {
		n->first = true;
		at = first_of(q);
	}
	for (int i = 0; at && i < MAX_DEPTH; i++) { /* nested cgroups */
		q = BPF_CORE_READ((struct sched_entity *)at, my_q);
		if (!q) {
			n->sum_ns = BPF_CORE_READ((struct sched_entity *)at, sum_exec_runtime);
			n->se = at;
			return;
		}
		n->nested = true;
		at = BPF_CORE_READ(q, curr);
		if (!at)
			at = BPF_CORE_READ(q, alps_held);
		if (!at)
			at = first_of(q);
	}
}

/* A bit of index_if_woken's answer: the task is no invocation, and its index changes whenever it runs. */
#define STRANGER (1ULL << 62)

/*
 * The index of the task that waits at @node, perhaps with FLEETING, if it was woken or
 * moved here and has not run since, or is no invocation; else NOBODY.
 */
static __noinline __u64 index_if_woken(struct steady *s, void *node)
{
	struct sched_entity *se = entity_of(node);
	struct task *t;
	__u32 pid = 0;

	if (!s || !node || BPF_CORE_READ(se, my_q))
		return NOBODY;
	bpf_probe_read_kernel(&pid, sizeof(pid),
			      task_of(se) + bpf_core_field_offset(struct task_struct, pid));
	t = bpf_map_lookup_elem(&tasks, &pid);
	if (!t)
		return index_of_stranger(s, se, BPF_CORE_READ(se, sum_exec_runtime)) | STRANGER;
	return t->slept ? index_of(s, t->cpu_ns + t->others_ns) : NOBODY;
}

#define NODES 7

/*
 * The nodes of @q at which those may wait who were woken. CFS prefers who has slept, so
 * they are at the left of the tree. The leftmost alone will not do: a thread of the long
 * invocation may be that, which sleeps and wakes all the time. Of a tree of three levels
 * all are looked at, of a higher one the three levels at its left end. False: nobody waits.
 */
static __always_inline bool nodes_of(struct cfs_rq *q, struct rb_node *n[NODES])
{
	struct rb_node *top = q->tasks_timeline.rb_root.rb_node;

	if (!top)
		return false;
	for (int i = 0; i < 16; i++) { /* down, until two levels are below */
		struct rb_node *next = top->rb_left;

		if (!next || !next->rb_left || !next->rb_left->rb_left)
			break;
		top = next;
	}
	n[0] = top;
	n[1] = top->rb_left;
	n[2] = top->rb_right;
	n[3] = n[1]->rb_left; /* a NULL leads to NULL */
	n[4] = n[1]->rb_right;
	n[5] = n[2]->rb_left;
	n[6] = n[2]->rb_right;
	return true;
}

/* One waits in @q, and no other. */
static __always_inline bool is_alone(struct cfs_rq *q)
{
	struct rb_node *top = q->tasks_timeline.rb_root.rb_node;

	return !top->rb_left && !top->rb_right; /* a NULL leads to NULL */
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
static __always_inline bool is_guarded(struct guard *g, __u64 wait_ns, __u64 every_ns, struct sched_entity *se)
{
	struct cfs_rq *on = se->cfs_rq;
	__u64 queued = se->alps_queued, now;

	if (g->se == (__u64)se && g->queued_ns == queued)
		return true;
	now = on->rq->clock;
	if ((__s64)(now - queued) < (__s64)wait_ns ||
	    (g->se && (__s64)(now - g->chosen_ns) < (__s64)every_ns) || !is_last(on, se))
		return false;
	g->se = (__u64)se;
	g->queued_ns = queued;
	g->chosen_ns = now;
	g->waits = 1;
	return true;
}

/* The guarded group still waits on @on. */
static __always_inline bool guard_waits(struct guard *g, struct cfs_rq *on)
{
	struct sched_entity *se = (void *)g->se;

	if (!g->waits || on->curr == se)
		return false;
	if (BPF_CORE_READ(se, alps_queued) != g->queued_ns || !BPF_CORE_READ(se, on_rq)) {
		g->waits = 0;
		return false;
	}
	return BPF_CORE_READ(se, cfs_rq) == on;
}

/* How long the function keeps the CPU whose group @se has it. */
static __always_inline int group_slice(struct guard *g, struct sched_entity *se, __u32 slice_us, __u32 guard_slice_us)
{
	if (g && g->se == (__u64)se && g->queued_ns == se->alps_queued)
		return guard_slice_us;
	if (g && guard_waits(g, se->cfs_rq))
		return 1; /* who has waited takes over */
	return slice_us;
}

#include "memo.bpf.h"

/* By how much the group @se of function @cgroup_id with @slot yields. */
static __always_inline int steady_bias(struct control *c, struct steady *s, __u32 slot, __u64 cgroup_id,
				       struct sched_entity *se)
{
	struct cfs_rq *q = se->my_q;
	__u32 cpu = se->cfs_rq->rq->cpu;
	struct guard *g = bpf_map_lookup_elem(&guards, &cpu);
	struct function_cpu *f = function_on(slot, cpu);
	struct account a;
	struct memo *m;
	__u64 other = NOBODY, index;
	bool alone, fleeting = false;
	struct next n;
	int answer;

	if (!f || !g)
		return MIN_BIAS_US;
	m = begin_memo(c, s, cgroup_id, se, f, slot, cpu);
	if (!m)
		return MIN_BIAS_US;
	if (is_guarded(g, s->guard_wait_ns, s->guard_every_ns, se))
		return MIN_BIAS_US;
	next_below(se, &n);
	m->bias.next = 0;
	if (!n.se)
		return steady_bias_us(s, IDLE_NS);
	recall_account(m, f, &n, &a);
	alone = n.first && is_alone(q);
	if (!alone) {
		other = index_of_woken(s, m, f, q);
		fleeting = m->woken.fleeting;
	} else if (f->never_ran > 0) {
		other = index_of(s, 0);
	}
	index = index_by(s, n.se, &a);
	fleeting |= !!(index & FLEETING);
	answer = steady_answer_bias(s, index & ~FLEETING, other);
	if (!n.nested && !fleeting) {
		learn(&m->bias, f, &a, other, answer);
		m->bias.alone = alone;
		learn_next(&m->bias, q, &n);
		m->bias.span_ns = a.known ? span_of(s, a.used_ns, other) : 0;
	}
	return answer;
}

/* How long @se keeps the CPU: the group of function @cgroup_id, or one below. */
static __always_inline int steady_slice(struct control *c, struct steady *s, __u32 slot, __u64 cgroup_id,
					struct sched_entity *se)
{
	struct cfs_rq *on = se->cfs_rq;
	__u32 cpu = on->rq->cpu;
	struct function_cpu *f = function_on(slot, cpu);
	struct memo *m = memo_on(cgroup_id, cpu);
	struct account a;
	struct next n;
	__u64 other;
	int answer;

	if (se->my_q && se->my_q->tg->css.cgroup->kn->id == cgroup_id)
		return group_slice(bpf_map_lookup_elem(&guards, &cpu), se, s->group_slice_us, s->guard_slice_us);
	next_below(se, &n);
	if (!n.se || !f || !m)
		return -1;
	if (!is_of(m, c, cgroup_id))
		forget_memo(m);
	recall_account(m, f, &n, &a);
	other = index_of_woken(s, m, f, on);
	answer = steady_answer_slice(s, index_by(s, n.se, &a) & ~FLEETING, a.used_ns,
				     se->sum_exec_runtime - se->alps_begun, a.ran, other);
	if (!se->my_q && is_of(m, c, cgroup_id)) {
		learn(&m->slice, f, &a, other, answer);
		m->slice.next = (__u64)se;
		m->slice.begun = se->alps_begun;
		m->slice.span_ns = !a.ran || other == NOBODY ? NOBODY : a.known ? span_of(s, a.used_ns, NOBODY) : 0;
	}
	return answer;
}
