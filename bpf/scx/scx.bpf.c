//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only
/*
 * ALPS as a sched_ext scheduler: every invocation is ranked by itself.
 *
 * Two classes of tasks share the CPUs: those of functions, queued by
 *
 *     key = time queued + bias
 *
 * and all others, queued by virtual time, which is fair by weight. Between the
 * two the weights of cgroup v2 decide. The kernel's own threads wait for nobody.
 * A scheduler that is switched on for functions only (partial) has no others.
 *
 * docs/sched_ext.md says what is promised to whom.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "kernel.bpf.h"

#define MAX_CPUS   1024
#define MAX_QUEUES 32
#define MAX_DEPTH  12 /* of a cgroup */
#define MAX_ROOTS  256
#define REASON	   128

enum class { FUNCTION, OTHER, CLASSES };

/*
 * Queues of the classes, one per queue of CPUs; where tasks wait whose cgroup has
 * used its quota; and, per queue of CPUs, those that go first: by the guard, or because they would wait too long for quota.
 */
#define QUEUE(class, n) (0x100ULL * ((class) + 1) + (n))
#define PARKED		0x300ULL
#define GRANTED(n)	(0x400ULL + (n))

/* What happened, and how often. */
enum count {
	TO_IDLE,    /* tasks that found an idle CPU when they woke up */
	QUEUED,	    /* that did not */
	KEPT,	    /* time slices that were followed by another of the same task */
	PREEMPTED,  /* functions' tasks that made way for another task */
	GUARDED,    /* times the guard gave the oldest waiting invocation CPU time */
	RESCUED,    /* tasks that ran for a tick because the watchdog was near */
	THROTTLED,  /* tasks whose cgroup had used its quota */
	LOST_INVOCATIONS, /* without an account: too many at a time */
	LOST_CGROUPS,	  /* without weight and quota: too many */
	COUNTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &what);

	if (n)
		++*n;
}

#include "invocation.bpf.h"
#include "cgroup.bpf.h"

/* Set before loading. */
const volatile __u32 nr_cpus = 1;
const volatile __u32 nr_queues = 1;
const volatile __u64 guard_wait_ns = 500 * NSEC_PER_MSEC;
const volatile __u64 guard_every_ns = 500 * NSEC_PER_MSEC;
const volatile __u64 guard_slice_ns = 25 * NSEC_PER_MSEC;
const volatile __u64 rescue_wait_ns = 10000 * NSEC_PER_MSEC;
const volatile __u64 other_slice_ns = 4 * NSEC_PER_MSEC;
const volatile __u64 most_lag_ns = 20 * NSEC_PER_MSEC;
const volatile __u32 queue_of_cpu[MAX_CPUS];

struct cpu {
	__u64 key;   /* of the function's task that runs there */
	__u32 class; /* of what runs there, from 1; 0: neither */
	__u32 guarded; /* it runs because the guard lets its invocation go first */
	__u32 rescues; /* at the last look */
	__u32 pad;
	__u64 vtime[CLASSES]; /* of the classes, there */
	__u64 reached; /* by the other tasks' virtual times, there */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

/* Of a queue of CPUs, when to look for the oldest, and when to grant it time at the earliest. */
__u64 look_due[MAX_QUEUES];
__u64 grant_due[MAX_QUEUES];
__u64 rescuing[MAX_QUEUES];

/* Tasks that can run, running ones included. */
__s64 runnable[CLASSES];
__s64 parked;
__u64 unpark; /* budgets may have grown */

/* Cgroups all of whose weight is functions'; what part of the CPUs they have. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ROOTS);
	__type(key, __u32);
	__type(value, __u64);
} roots SEC(".maps");

__u32 nr_roots;
__u64 functions_part_at;
__u64 functions_part = WHOLE / 2;

#include "guard.bpf.h"
#include "classes.bpf.h"

/*
 * For a synchronous wake-up, as through a pipe, the kernel may name the waker's own @cpu as idle: the waker is
 * about to sleep, or only says so. Would @p wait there for the waker's time slice while another CPU is idle, or
 * as another task for a function's, which can be long?
 */
static __always_inline bool waker_goes_on(struct task_struct *p, __s32 cpu)
{
	struct cpu *c = (__u32)cpu == bpf_get_smp_processor_id() ? cpu_at(cpu) : NULL;
	struct task *t = task_of(p);

	if (!c || !c->class || !t)
		return false;
	return p->nr_cpus_allowed > 1 || (!t->function && c->class == FUNCTION + 1);
}

SEC("struct_ops/select_cpu")
__s32 BPF_PROG(scx_select_cpu, struct task_struct *p, __s32 prev_cpu, __u64 wake_flags)
{
	bool idle = false;
	__s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && !waker_goes_on(p, cpu) && allowance(weighing_cgroup(p), bpf_ktime_get_ns()) > 0) {
		count(TO_IDLE);
		insert_fifo(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0); /* scx_running says how long */
	}
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_PROG(scx_enqueue, struct task_struct *p, __u64 enq_flags)
{
	__u64 now = bpf_ktime_get_ns();
	struct task *t = task_of(p);
	__s32 cpu = scx_bpf_task_cpu(p);
	__u32 queue = queue_at(cpu);

	if (!t) {
		insert_fifo(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	t->waits_ns = now;
	if (allowance(weighing_cgroup(p), now) <= 0) {
		park(p, t, now, enq_flags);
		return;
	}
	if (enq_flags & SCX_ENQ_LAST) {
		insert_fifo(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	if (enq_flags & SCX_ENQ_WAKEUP) {
		if (at_once(p, t)) {
			insert_fifo(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags | SCX_ENQ_PREEMPT);
			return;
		}
		count(QUEUED);
	}
	put(p, t, queue, now, enq_flags);
	wake_for(p, t, cpu, enq_flags & SCX_ENQ_WAKEUP);
}

SEC("struct_ops/dispatch")
void BPF_PROG(scx_dispatch, __s32 cpu, struct task_struct *prev)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 queue = queue_at(cpu), class, other;

	if (prev && prev->scx.flags & SCX_TASK_QUEUED) {
		struct task *t = task_of(prev);

		if (t)
			charge(prev, t, now);
	}
	if (unpark && scx_bpf_dsq_nr_queued(PARKED) > 0)
		unpark_tasks(now);
	if (guard(cpu, queue, now) || keeps_grant(prev, now) || take_granted(cpu, queue, now))
		return;
	class = others_first(cpu) ? OTHER : FUNCTION;
	other = class == FUNCTION ? OTHER : FUNCTION;
	if (keeps(prev, class, queue, false, now) || take(class, cpu, queue, now) || keeps(prev, class, queue, true, now))
		return;
	if (keeps(prev, other, queue, false, now) || take(other, cpu, queue, now))
		return;
	keeps(prev, other, queue, true, now);
}

SEC("struct_ops/tick")
void BPF_PROG(scx_tick, struct task_struct *p)
{
	struct task *t = task_of(p);
	__s32 cpu = scx_bpf_task_cpu(p);
	__u64 now = bpf_ktime_get_ns();

	look_at_part(now);
	if (!t || !t->function)
		return;
	charge(p, t, now);
	/* Neither whoever has waited too long nor the other tasks wait for the end of a long slice, and nobody overdraws by more than a tick. */
	if (allowance(t->weighed, now) <= 0 || guard_is_due(queue_at(cpu), now) || makes_way(t, cpu, queue_at(cpu), now))
		set_slice(p, 0);
}

SEC("struct_ops/runnable")
void BPF_PROG(scx_runnable, struct task_struct *p, __u64 enq_flags)
{
	struct task *t = task_of(p);

	if (t)
		becomes_runnable(p, t);
}

SEC("struct_ops/quiescent")
void BPF_PROG(scx_quiescent, struct task_struct *p, __u64 deq_flags)
{
	struct task *t = task_of(p);

	if (t)
		becomes_quiescent(t, deq_flags & SCX_DEQ_SLEEP && waits(p));
}

SEC("struct_ops/running")
void BPF_PROG(scx_running, struct task_struct *p)
{
	__u64 now = bpf_ktime_get_ns();
	struct task *t = task_of(p);

	if (t)
		begins_to_run(p, t, now);
}

SEC("struct_ops/stopping")
void BPF_PROG(scx_stopping, struct task_struct *p, bool still_runnable)
{
	__u64 now = bpf_ktime_get_ns();
	struct task *t = task_of(p);

	if (t)
		ceases_to_run(p, t, now);
}

SEC("struct_ops.s/init_task")
__s32 BPF_PROG(scx_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task *t = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12; /* ENOMEM */
	t->exec_ns = p->se.sum_exec_runtime;
	t->vtime = reached_on(scx_bpf_task_cpu(p));
	return 0;
}

SEC("struct_ops/exit_task")
void BPF_PROG(scx_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct task *t = task_of(p);

	if (t) {
		becomes_quiescent(t, false);
		drop_invocation(t);
	}
}

/* Every CPU serves the queues, so there is nothing to do; without these the kernel would end the scheduler. */
SEC("struct_ops.s/cpu_online")
void BPF_PROG(scx_cpu_online, __s32 cpu)
{
}

SEC("struct_ops.s/cpu_offline")
void BPF_PROG(scx_cpu_offline, __s32 cpu)
{
}

SEC("struct_ops.s/init")
__s32 BPF_PROG(scx_init)
{
	__s32 err = scx_bpf_create_dsq(PARKED, -1);

	for (__u32 i = 0; i < MAX_QUEUES && i < nr_queues && !err; i++) {
		err = scx_bpf_create_dsq(QUEUE(FUNCTION, i), -1);
		if (!err)
			err = scx_bpf_create_dsq(QUEUE(OTHER, i), -1);
		if (!err)
			err = scx_bpf_create_dsq(GRANTED(i), -1);
	}
	return err ?: start_refill();
}

/* Why the kernel has taken the scheduler out. */
struct reason {
	__s64 code;
	__u32 kind;
	__u32 pad;
	char text[REASON];
	char detail[REASON];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reason);
} ended SEC(".maps");

SEC("struct_ops.s/exit")
void BPF_PROG(scx_exit, struct scx_exit_info *info)
{
	__u32 zero = 0;
	struct reason *r = bpf_map_lookup_elem(&ended, &zero);

	if (!r)
		return;
	bpf_probe_read_kernel_str(r->text, sizeof(r->text), BPF_CORE_READ(info, reason));
	bpf_probe_read_kernel_str(r->detail, sizeof(r->detail), BPF_CORE_READ(info, msg));
	r->code = info->exit_code;
	r->kind = info->kind;
}

/* What weigh() says, where it can be compared and timed. */
struct question {
	__u64 used_ns;
	__u64 bias_ns;
	__u64 until_ns;
	__u32 slot;
	__u32 pad;
};

SEC("syscall")
int scx_weigh(struct question *q)
{
	struct worth w = {};

	weigh(q->slot, q->used_ns, &w);
	q->bias_ns = w.bias_ns;
	q->until_ns = w.until_ns;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops alps = {
	.select_cpu = (void *)scx_select_cpu,
	.enqueue = (void *)scx_enqueue,
	.dispatch = (void *)scx_dispatch,
	.tick = (void *)scx_tick,
	.runnable = (void *)scx_runnable,
	.running = (void *)scx_running,
	.stopping = (void *)scx_stopping,
	.quiescent = (void *)scx_quiescent,
	.init_task = (void *)scx_init_task,
	.exit_task = (void *)scx_exit_task,
	.cgroup_init = (void *)scx_cgroup_init,
	.cgroup_exit = (void *)scx_cgroup_exit,
	.cgroup_set_weight = (void *)scx_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)scx_cgroup_set_bandwidth,
	.cpu_online = (void *)scx_cpu_online,
	.cpu_offline = (void *)scx_cpu_offline,
	.init = (void *)scx_init,
	.exit = (void *)scx_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 30000,
	.name = "alps",
};

char LICENSE[] SEC("license") = "GPL";
