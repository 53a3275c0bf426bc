/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bounds a wait: now and then the oldest waiting invocation goes first, with
 * all its tasks, until they have used what it was granted; and no task waits until
 * the kernel's watchdog bites.
 */
#define MAX_LOOK    64	 /* CPUs that are looked at for one that can be taken from a function */
#define MAX_SCAN    8192 /* tasks of a queue that are looked at */
#define RESCUES	    8	 /* tasks that are let run for a tick at a time */
#define RESCUE_EVERY (100 * NSEC_PER_MSEC)

/* How many tasks a look at a queue has seen. In memory: the verifier would follow a variable through every round. */
__u32 looked[MAX_QUEUES];
__u32 parked_looked, refill_looked, parked_rescues;
__u64 parked_spent, refill_spent; /* the last cgroup without a budget that such a look has seen */

static __always_inline void is_parked(struct task *t)
{
	count(THROTTLED);
	t->rescued = 0;
	if (t->parked) /* it has moved to another CPU */
		return;
	t->parked = 1;
	__sync_fetch_and_add(&parked, 1);
}

/* Lets @p, which is queued, wait until its cgroup's budget has grown. */
static __always_inline void repark(struct bpf_iter_scx_dsq *it, struct task_struct *p, struct task *t)
{
	if (move_key(it, p, PARKED, 0))
		is_parked(t);
}

static __always_inline __u32 queue_at(__s32 cpu)
{
	__u32 queue = queue_of_cpu[cpu & (MAX_CPUS - 1)];

	return queue < MAX_QUEUES ? queue : 0;
}

static __always_inline bool guard_is_due(__u32 queue, __u64 now)
{
	return now >= look_due[queue & (MAX_QUEUES - 1)] && scx_bpf_dsq_nr_queued(QUEUE(FUNCTION, queue)) > 0;
}

static __always_inline bool waits_too_long(struct task *t, __u64 now)
{
	return t->waits_ns && now - t->waits_ns >= rescue_wait_ns;
}

/* The oldest waiting invocation, and when it arrived; 0 if none waits. Notes whether a task waits for so long that the watchdog is near. */
static __always_inline __u64 oldest(__u32 queue, __u64 now, __u64 *arrived)
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
			if (waits_too_long(t, now))
				late = true;
			if (!first || v->arrived_ns < *arrived) {
				first = t->invocation;
				*arrived = v->arrived_ns;
			}
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	rescuing[queue & (MAX_QUEUES - 1)] = late;
	return first;
}

/*
 * Grants the oldest waiting invocation CPU time, if that is due, and says which
 * that is; 0: none. Also says when to look again.
 */
static __always_inline __u64 grant(__u32 queue, __u64 now)
{
	__u32 at = queue & (MAX_QUEUES - 1);
	__u64 arrived = 0, id = oldest(queue, now, &arrived);
	__u64 again = now + (rescuing[at] && guard_every_ns > RESCUE_EVERY ? RESCUE_EVERY : guard_every_ns);
	struct invocation *v = id ? bpf_map_lookup_elem(&invocations, &id) : NULL;

	if (v && now >= grant_due[at] && now - arrived >= guard_wait_ns) {
		v->granted_ns = guard_slice_ns;
		v->granted_until_ns = now + guard_every_ns;
		grant_due[at] = now + guard_every_ns;
		count(GUARDED);
	} else {
		/* Nobody who waits is old enough before the oldest is. */
		if (v && now >= grant_due[at])
			grant_due[at] = arrived + guard_wait_ns;
		id = 0;
	}
	look_due[at] = grant_due[at] > now && grant_due[at] < again ? grant_due[at] : again;
	return id;
}

/*
 * Lets the tasks of the oldest waiting invocation go first, if that is due; and
 * moves those that the watchdog would find to @cpu. Says whether there were any.
 */
static __always_inline bool guard(__s32 cpu, __u32 queue, __u64 now)
{
	__u64 *due = &look_due[queue & (MAX_QUEUES - 1)], was = *due, id;
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	__u32 key = cpu;
	struct cpu *c = bpf_map_lookup_elem(&cpus, &key);
	__u32 *n = &looked[queue & (MAX_QUEUES - 1)];
	bool moved = false;

	if (!c || !guard_is_due(queue, now) || __sync_val_compare_and_swap(due, was, now + guard_every_ns) != was)
		return false;
	id = grant(queue, now);
	if (!id && !rescuing[queue & (MAX_QUEUES - 1)])
		return false;
	*n = 0;
	c->rescues = 0;
	if (!bpf_iter_scx_dsq_new(&it, QUEUE(FUNCTION, queue), 0)) {
		while ((p = bpf_iter_scx_dsq_next(&it)) && (*n)++ < MAX_SCAN) {
			struct task *t = task_of(p);

			if (!t || !t->invocation)
				continue;
			if (t->invocation == id) {
				move_key(&it, p, GRANTED(queue), 0);
				continue;
			}
			if (c->rescues >= RESCUES || !waits_too_long(t, now) || !may_run(p, cpu))
				continue;
			if (!move_fifo(&it, p, SCX_DSQ_LOCAL, 0))
				continue;
			moved = true;
			t->rescued = 1;
			c->rescues++;
			count(RESCUED);
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return moved;
}

/* Moves one that goes first, by the guard or because the watchdog is near, to @cpu. Those whose invocation has used its grant, or not used it in time, queue by key again. */
static __always_inline bool take_granted(__s32 cpu, __u32 queue, __u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	__u32 *n = &looked[queue & (MAX_QUEUES - 1)];
	bool taken = false;

	if (!scx_bpf_dsq_nr_queued(GRANTED(queue)))
		return false;
	*n = 0;
	if (!bpf_iter_scx_dsq_new(&it, GRANTED(queue), 0)) {
		while (!taken && (p = bpf_iter_scx_dsq_next(&it)) && (*n)++ < MAX_SCAN) {
			struct task *t = task_of(p);

			if (!t || (!t->rescued && !granted(invocation_of(t), now)))
				move_key(&it, p, QUEUE(FUNCTION, queue), 0);
			else if (!t->rescued && allowance(t->weighed, now) <= 0)
				repark(&it, p, t);
			else if (may_run(p, cpu))
				taken = move_fifo(&it, p, SCX_DSQ_LOCAL, 0);
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return taken;
}

/* Wakes an idle CPU for @p, which is queued; false if none of its CPUs is idle. */
static __always_inline bool kick_idle(struct task_struct *p)
{
	__s32 idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	return idle >= 0;
}

/* Has the cgroup of @t, which waits for its quota, a budget again? @spent is the last that had none: its tasks are many. */
static __always_inline bool has_budget(struct task *t, __u64 *spent, __u64 now)
{
	if (t->weighed == *spent)
		return false;
	if (allowance(t->weighed, now) > 0)
		return true;
	*spent = t->weighed;
	return false;
}

/* Tasks whose cgroups have a budget again go to their queues. */
static __always_inline void unpark_tasks(__u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	__u32 queue;
	__u64 dsq;

	unpark = parked_looked = parked_rescues = 0;
	parked_spent = ~0ULL;
	if (!bpf_iter_scx_dsq_new(&it, PARKED, 0)) {
		while ((p = bpf_iter_scx_dsq_next(&it)) && parked_looked++ < MAX_SCAN) {
			struct task *t = task_of(p);

			if (!t)
				continue;
			queue = queue_at(scx_bpf_task_cpu(p));
			dsq = QUEUE(t->function ? FUNCTION : OTHER, queue);
			if (!has_budget(t, &parked_spent, now)) {
				if (!waits_too_long(t, now) || parked_rescues++ >= RESCUES)
					continue;
				/* It begins to run, which the watchdog sees, and is stopped at once: begins_to_run. */
				t->rescued = 1;
				count(RESCUED);
			}
			if (t->rescued || granted(invocation_of(t), now))
				dsq = GRANTED(queue);
			if (!move_key(&it, p, dsq, 0))
				continue;
			if (t->parked) {
				t->parked = 0;
				__sync_fetch_and_add(&parked, -1);
			}
			kick_idle(p); /* the others of a refill do not wait for the CPU that moves them */
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
}

/* Whether one of those that wait for their quota need not wait any more, or may not. */
static __always_inline bool some_may_go(__u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	bool yes = false;

	refill_looked = 0;
	refill_spent = ~0ULL;
	if (!bpf_iter_scx_dsq_new(&it, PARKED, 0)) {
		while (!yes && (p = bpf_iter_scx_dsq_next(&it)) && refill_looked++ < MAX_SCAN) {
			struct task *t = task_of(p);

			yes = t && (has_budget(t, &refill_spent, now) || waits_too_long(t, now));
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return yes;
}

/* Parks the first of a queue, up to one that may run on @cpu, whose cgroups have used their quota since they were queued. */
static __always_inline void park_spent(__u64 dsq, __s32 cpu, __u32 queue, __u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	__u32 *n = &looked[queue & (MAX_QUEUES - 1)];
	bool found = false;

	if (!limited || !scx_bpf_dsq_nr_queued(dsq))
		return;
	*n = 0;
	if (!bpf_iter_scx_dsq_new(&it, dsq, 0)) {
		while (!found && (p = bpf_iter_scx_dsq_next(&it)) && (*n)++ < MAX_SCAN) {
			struct task *t = task_of(p);

			if (t && !t->rescued && allowance(t->weighed, now) <= 0)
				repark(&it, p, t);
			else
				found = may_run(p, cpu);
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
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
	if (scx_bpf_dsq_nr_queued(PARKED) > 0 && some_may_go(bpf_ktime_get_ns())) {
		unpark = 1;
		/* The next look at the queues moves them: here, now. */
		scx_bpf_kick_cpu(bpf_get_smp_processor_id(), SCX_KICK_PREEMPT);
	}
	if (!limited)
		bpf_timer_start(&r->timer, REFILL_IDLE, 0);
	if (limited) /* also if the first limit came meanwhile */
		bpf_timer_start(&r->timer, REFILL_EVERY, 0);
	return 0;
}

/* The first limit does not wait for the end of REFILL_IDLE. */
static __always_inline void refill_soon(void)
{
	__u32 zero = 0;
	struct refill *r = bpf_map_lookup_elem(&refills, &zero);

	if (r)
		bpf_timer_start(&r->timer, REFILL_EVERY, 0);
}

/* For user space, where the kernel does not tell of limits. */
SEC("syscall")
int scx_limits(void *ctx)
{
	refill_soon();
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
