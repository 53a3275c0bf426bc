/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bounds a wait: the oldest waiting invocation goes first now and then,
 * whatever it is worth, and no task waits until the kernel's watchdog bites.
 */
#define MAX_LOOK    64	 /* CPUs that are looked at for one that can be taken from a function */
#define MAX_SCAN    8192 /* tasks of a queue that are looked at */
#define RESCUES	    8	 /* tasks that are let run for a tick at a time */
#define RESCUE_EVERY (100 * NSEC_PER_MSEC)

/* How many tasks a look at a queue has seen. In memory: the verifier would follow a variable through every round. */
__u32 looked[MAX_QUEUES];
__u32 parked_looked, refill_looked;

static __always_inline __u32 queue_at(__s32 cpu)
{
	__u32 queue = queue_of_cpu[cpu & (MAX_CPUS - 1)];

	return queue < MAX_QUEUES ? queue : 0;
}

static __always_inline bool guard_is_due(__u32 queue, __u64 now)
{
	__u64 every = rescuing[queue & (MAX_QUEUES - 1)] ? RESCUE_EVERY : guard_every_ns;

	return now - guarded_at[queue & (MAX_QUEUES - 1)] >= every && scx_bpf_dsq_nr_queued(QUEUE(FUNCTION, queue)) > 0;
}

/* The arrival of the oldest waiting invocation; 0 if none has waited long enough. */
static __always_inline __u64 oldest(__u32 queue, __u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	__u64 first = 0;
	__u32 *n = &looked[queue & (MAX_QUEUES - 1)];
	bool late = false;

	*n = 0;
	if (!bpf_iter_scx_dsq_new(&it, QUEUE(FUNCTION, queue), 0)) {
		while ((p = bpf_iter_scx_dsq_next(&it)) && (*n)++ < MAX_SCAN) {
			struct task *t = task_of(p);
			struct invocation *v = t ? invocation_of(t) : NULL;

			if (!v)
				continue;
			if (t->waits_ns && now - t->waits_ns >= rescue_wait_ns)
				late = true;
			if (now - v->arrived_ns >= guard_wait_ns && (!first || v->arrived_ns < first))
				first = v->arrived_ns;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	rescuing[queue & (MAX_QUEUES - 1)] = late;
	return first;
}

/* Lets the oldest waiting invocation run on @cpu, if that is due; and those that the watchdog would find. */
static __always_inline bool guard(__s32 cpu, __u32 queue, __u64 now)
{
	__u64 *at = &guarded_at[queue & (MAX_QUEUES - 1)], was = *at, first;
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	__u32 key = cpu;
	struct cpu *c = bpf_map_lookup_elem(&cpus, &key);
	__u32 *n = &looked[queue & (MAX_QUEUES - 1)];
	bool moved = false;

	if (!c || !guard_is_due(queue, now) || __sync_val_compare_and_swap(at, was, now) != was)
		return false;
	first = oldest(queue, now);
	if (!first && !rescuing[queue & (MAX_QUEUES - 1)])
		return false;
	*n = 0;
	c->rescues = 0;
	if (!bpf_iter_scx_dsq_new(&it, QUEUE(FUNCTION, queue), 0)) {
		while ((p = bpf_iter_scx_dsq_next(&it)) && (*n)++ < MAX_SCAN) {
			struct task *t = task_of(p);
			struct invocation *v = t ? invocation_of(t) : NULL;
			bool guarded = v && v->arrived_ns == first && !c->guarded;

			if (!v || !may_run(p, cpu))
				continue;
			if (!guarded && (c->rescues >= RESCUES || !t->waits_ns || now - t->waits_ns < rescue_wait_ns))
				continue;
			if (!move_fifo(&it, p, SCX_DSQ_LOCAL, 0))
				continue;
			moved = true;
			if (guarded) {
				c->guarded = p->pid;
				count(GUARDED);
			} else {
				t->rescued = 1;
				c->rescues++;
				count(RESCUED);
			}
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return moved;
}

/* Tasks whose cgroups have a budget again go to their queues. */
static __always_inline void unpark_tasks(__u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	unpark = parked_looked = 0;
	if (!bpf_iter_scx_dsq_new(&it, PARKED, 0)) {
		while ((p = bpf_iter_scx_dsq_next(&it)) && parked_looked++ < MAX_SCAN) {
			struct task *t = task_of(p);

			if (!t || allowance(t->weighed, now) <= 0)
				continue;
			if (move_key(&it, p, QUEUE(t->function ? FUNCTION : OTHER, queue_at(scx_bpf_task_cpu(p))), 0) && t->parked) {
				t->parked = 0;
				__sync_fetch_and_add(&parked, -1);
			}
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
}

/* Whether one of the first that wait for their quota need not wait any more. */
static __always_inline bool some_may_go(__u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	bool yes = false;

	refill_looked = 0;
	if (!bpf_iter_scx_dsq_new(&it, PARKED, 0)) {
		while (!yes && (p = bpf_iter_scx_dsq_next(&it)) && refill_looked++ < 64) {
			struct task *t = task_of(p);

			yes = t && allowance(t->weighed, now) > 0;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return yes;
}

struct refill {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct refill);
} refills SEC(".maps");

#define REFILL_EVERY (5 * NSEC_PER_MSEC)
#define REFILL_IDLE  (500 * NSEC_PER_MSEC) /* where nothing is limited */

__u64 valid_until; /* user space's word: when it is to be taken for dead; 0: never */
static char silent[] = "the daemon was silent for too long";

static int refilled(void *map, __u32 *key, struct refill *r)
{
	if (valid_until && bpf_ktime_get_ns() > valid_until) {
		unsigned long long none = 0;

		scx_bpf_exit_bstr(0, silent, &none, sizeof(none));
		return 0;
	}
	if (parked > 0 && some_may_go(bpf_ktime_get_ns())) {
		unpark = 1;
		/* The next look at the queues moves them: here, now. */
		scx_bpf_kick_cpu(bpf_get_smp_processor_id(), SCX_KICK_PREEMPT);
	}
	bpf_timer_start(&r->timer, limited ? REFILL_EVERY : REFILL_IDLE, 0);
	return 0;
}

static __always_inline __s32 start_refill(void)
{
	__u32 zero = 0;
	struct refill *r = bpf_map_lookup_elem(&refills, &zero);

	if (!r)
		return -3; /* ESRCH */
	bpf_timer_init(&r->timer, &refills, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&r->timer, refilled);
	return bpf_timer_start(&r->timer, REFILL_EVERY, 0);
}
