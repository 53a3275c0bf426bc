/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who runs next: between the classes, the one that is behind by its part of the
 * CPUs; within a class, the first of the queue.
 */
#define LEAST_PART   (WHOLE / 64) /* of a class */
#define LEAST_SHARE  (WHOLE / 2048) /* of a task: above it waits for less than the watchdog's time */
#define PART_EVERY   (5 * NSEC_PER_MSEC)
#define PART_BITS    3 /* a new look changes the part by so much less: 1/8 */

static __always_inline bool before(__u64 a, __u64 b)
{
	return (__s64)(a - b) < 0;
}

static __always_inline __u32 class_of(struct task *t)
{
	return t->function ? FUNCTION : OTHER;
}

static __always_inline struct cpu *cpu_at(__s32 cpu)
{
	__u32 at = cpu;

	return bpf_map_lookup_elem(&cpus, &at);
}

static long add_root(__u64 i, __u64 *sum)
{
	__u32 at = i;
	__u64 *id = bpf_map_lookup_elem(&roots, &at);
	struct cg *g = id ? bpf_map_lookup_elem(&cgroups, id) : NULL;

	if (g && g->active > 0)
		*sum += part_of(*id, bpf_ktime_get_ns());
	return 0;
}

/*
 * The functions' part of the CPUs, by the weights of what is active: a mean over some 40 ms. Only ticks look, and only
 * while both classes want CPUs. At a switch a service that wakes for a moment is active each time, as if it never slept.
 */
static __always_inline void look_at_part(__u64 now)
{
	__s64 sum = 0;

	if (now - functions_part_at < PART_EVERY || runnable[FUNCTION] <= 0 || runnable[OTHER] <= 0)
		return;
	functions_part_at = now;
	bpf_loop(nr_roots < MAX_ROOTS ? nr_roots : MAX_ROOTS, add_root, &sum, 0);
	if (sum < LEAST_PART)
		sum = LEAST_PART;
	if (sum > WHOLE - LEAST_PART)
		sum = WHOLE - LEAST_PART;
	functions_part += (sum - (__s64)functions_part) >> PART_BITS;
}

static __always_inline __u64 part_of_class(__u32 class)
{
	return class == FUNCTION ? functions_part : WHOLE - functions_part;
}

/*
 * Each CPU is divided by itself: by one pair of times for all of them the others of one CPU would pay for those
 * of another. Neither class is owed more than the other had in most_lag_ns of CPU time: what it could not use is gone.
 */
__noinline int charge_class(__s32 cpu, __u32 class, __u64 ns)
{
	__u32 other = class == FUNCTION ? OTHER : FUNCTION;
	__u64 part = part_of_class(class), at;
	struct cpu *c = cpu_at(cpu);

	if (!c)
		return 0;
	at = c->vtime[class & 1] += ns * WHOLE / part;
	if (before(c->vtime[other & 1], at - most_lag_ns * WHOLE / part))
		c->vtime[other & 1] = at - most_lag_ns * WHOLE / part;
	return 0;
}

/* Have the other tasks had less of @cpu than their part? */
static __always_inline bool others_first(__s32 cpu)
{
	struct cpu *c = cpu_at(cpu);

	return c && before(c->vtime[OTHER], c->vtime[FUNCTION]);
}

#include "others.bpf.h"

/* Accounts what @p has used since it was accounted last. */
static __always_inline void charge(struct task_struct *p, struct task *t, __u64 now)
{
	__u64 exec = p->se.sum_exec_runtime, ns = exec - t->exec_ns;

	t->exec_ns = exec;
	if (!ns || ns >> 40)
		return;
	if (t->function) {
		struct invocation *v = invocation_of(t);

		t->burst_ns += ns;
		if (v)
			__sync_fetch_and_add(&v->used_ns, ns);
		if (granted(v, now))
			__sync_fetch_and_add(&v->granted_ns, -(__s64)ns);
	} else {
		t->vtime += ns * WHOLE / share_of(t, now);
	}
	charge_class(scx_bpf_task_cpu(p), class_of(t), ns);
	spend(t->weighed, ns);
}

/* For how long @p may run now. */
static __always_inline __u64 slice_of(struct task_struct *p, struct task *t, __u64 now)
{
	__s64 left = allowance(t->weighed, now);
	__u64 slice = other_slice_ns;

	if (t->function) {
		struct invocation *v = invocation_of(t);

		slice = UNKNOWN_SLICE;
		if (granted(v, now)) {
			slice = v->granted_ns;
		} else if (begins_burst(t, v)) {
			slice = SERVER_GRACE - t->burst_ns;
		} else if (v && !dying(p)) {
			if (v->used_ns >= v->until_ns)
				begin_slice(v, now);
			slice = v->until_ns - v->used_ns;
		}
	}
	if ((__s64)slice > left)
		slice = left > (__s64)LEAST_SLICE ? left : LEAST_SLICE;
	return slice;
}

/*
 * @t cannot run any more; @sleeps: because it waits for somebody. A wait for a disk or a lock, and a change of
 * its own affinity or weight, do not end a burst: for its invocation it is awake.
 */
static __always_inline void becomes_quiescent(struct task *t, bool sleeps)
{
	struct invocation *v;

	if (t->parked) {
		t->parked = 0;
		__sync_fetch_and_add(&parked, -1);
	}
	if (!t->counted)
		return;
	__sync_fetch_and_add(&runnable[(t->counted - 1) & 1], -1);
	t->counted = 0;
	leave(t->weighed, t->weight);
	v = invocation_of(t);
	if (!v || !t->awake || !sleeps)
		return;
	if (__sync_fetch_and_add(&v->runnable, -1) == 1)
		v->sleeps++;
	t->awake = 0;
}

static __always_inline void becomes_runnable(struct task_struct *p, struct task *t)
{
	struct invocation *v;
	__u64 now;

	becomes_quiescent(t, false);
	classify(p, t);
	t->counted = class_of(t) + 1;
	__sync_fetch_and_add(&runnable[class_of(t) & 1], 1);
	t->weight = p->scx.weight;
	t->weighed = weighing_cgroup(p);
	enter(t->weighed, t->weight);
	v = invocation_of(t);
	if (!v || t->awake)
		return;
	t->awake = 1;
	t->burst_ns = 0;
	if (__sync_fetch_and_add(&v->runnable, 1))
		return;
	v->until_ns = 0; /* all of it slept: it is queued anew */
	if (!v->server && v->sleeps < server_sleeps)
		return;
	now = bpf_ktime_get_ns();
	if (!v->server && now - v->arrived_ns < server_age_ns)
		return;
	v->server = 1;
	v->arrived_ns = now;
	v->used_ns = 0;
}

static __always_inline void begins_to_run(struct task_struct *p, struct task *t, __u64 now)
{
	__s32 cpu = scx_bpf_task_cpu(p);
	struct cpu *c = cpu_at(cpu);
	struct invocation *v = invocation_of(t);
	__u64 slice = slice_of(p, t, now);

	t->waits_ns = 0;
	t->exec_ns = p->se.sum_exec_runtime;
	if (t->parked) {
		t->parked = 0;
		__sync_fetch_and_add(&parked, -1);
	}
	if (t->rescued && allowance(t->weighed, now) <= 0) {
		slice = 0;
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT); /* that it ran for a moment is enough for the watchdog */
	} else if (t->rescued && !granted(v, now)) {
		slice = LEAST_SLICE;
	}
	if (c) {
		if (!t->function)
			reach(c, t);
		c->class = p->flags & PF_KTHREAD ? 0 : class_of(t) + 1;
		c->key = begins_burst(t, v) ? now : v ? v->key : 0;
		c->guarded = granted(v, now);
	}
	t->rescued = 0;
	set_slice(p, slice);
}

static __always_inline void ceases_to_run(struct task_struct *p, struct task *t, __u64 now)
{
	struct cpu *c = cpu_at(scx_bpf_task_cpu(p));

	charge(p, t, now);
	if (c)
		c->class = c->guarded = 0;
}

/* Puts @p, which wants a CPU, into its class's queue. */
static __always_inline void put(struct task_struct *p, struct task *t, __u32 queue, __u64 now, __u64 enq_flags)
{
	__u64 key, dsq = QUEUE(class_of(t), queue);

	if (t->function) {
		struct invocation *v = invocation_of(t);

		key = key_of(p, t, v, now);
		if (granted(v, now))
			dsq = GRANTED(queue);
	} else {
		stay_near(t, reached_on(scx_bpf_task_cpu(p)), now);
		key = t->vtime;
	}
	insert_key(p, dsq, SCX_SLICE_DFL, key, enq_flags);
}

/* Lets @p wait until its cgroup's budget has grown. */
static __always_inline void park(struct task_struct *p, struct task *t, __u64 now, __u64 enq_flags)
{
	is_parked(t);
	insert_key(p, PARKED, SCX_SLICE_DFL, t->function ? key_of(p, t, invocation_of(t), now) : t->vtime, enq_flags);
}

/*
 * Finds a CPU for @p, which is queued: an idle one, one that a function must lend to another task, or, if @p @woke, that
 * of another task.
 */
static __always_inline void wake_for(struct task_struct *p, struct task *t, __s32 cpu, bool woke)
{
	__s32 victim = -1;
	__u64 last = 0;

	if (kick_idle(p) || t->function)
		return;
	for (__s32 i = 0; i < MAX_LOOK && i < nr_cpus; i++) {
		__s32 at = cpu + i < nr_cpus ? cpu + i : cpu + i - nr_cpus;
		struct cpu *c = cpu_at(at);

		if (!c || c->class != FUNCTION + 1 || c->guarded || before(c->vtime[FUNCTION], c->vtime[OTHER]) || !may_run(p, at))
			continue;
		if (victim >= 0 && !before(last, c->key))
			continue;
		victim = at;
		last = c->key;
	}
	if (victim < 0 && woke && goes_before_other(t, cpu))
		victim = cpu;
	if (victim < 0)
		return;
	count(PREEMPTED);
	scx_bpf_kick_cpu(victim, SCX_KICK_PREEMPT);
}

/* The key of the first in a queue; false if it is empty. */
static __always_inline bool head_of(__u64 dsq, __u64 *key)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	bool found = false;

	if (!scx_bpf_dsq_nr_queued(dsq))
		return false;
	if (!bpf_iter_scx_dsq_new(&it, dsq, 0)) {
		p = bpf_iter_scx_dsq_next(&it);
		if (p) {
			*key = p->scx.dsq_vtime;
			found = true;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return found;
}

/* Moves the first of a queue that may run on @cpu, this one, and has quota left to it. */
static __always_inline bool take_from(__u64 dsq, __s32 cpu, __u32 queue, __u64 now)
{
	park_spent(dsq, cpu, queue, now);
	return take_first(dsq);
}

/*
 * Moves the first that may run on this CPU to it. With several queues, first that of
 * another one, chosen at random, if it is ahead of this queue's.
 */
static __always_inline bool take(__u32 class, __s32 cpu, __u32 queue, __u64 now)
{
	if (nr_queues > 1) {
		__u32 next = bpf_get_prandom_u32() % nr_queues;
		__u64 mine = ~0ULL, theirs;

		if (next != queue && head_of(QUEUE(class, next), &theirs) && (!head_of(QUEUE(class, queue), &mine) || before(theirs, mine)) &&
		    take_from(QUEUE(class, next), cpu, queue, now))
			return true;
	}
	if (take_from(QUEUE(class, queue), cpu, queue, now))
		return true;
	for (__u32 i = 0; i < MAX_QUEUES && i < nr_queues; i++)
		if (i != queue && (take_from(QUEUE(class, i), cpu, queue, now) || (class == FUNCTION && take_from(GRANTED(i), cpu, queue, now))))
			return true;
	return false;
}

/* @prev, whose slice is used, goes on by @key. */
static __always_inline bool goes_on(struct task_struct *prev, struct task *t, __u64 key, bool guarded, __u64 now)
{
	struct cpu *c = cpu_at(scx_bpf_task_cpu(prev));

	if (c) {
		if (!t->function)
			reach(c, t);
		c->key = key;
		c->guarded = guarded;
	}
	count(KEPT);
	set_slice(prev, slice_of(prev, t, now));
	return true;
}

/* Does @prev go on because its invocation has not used what the guard gave it? */
static __always_inline bool keeps_grant(struct task_struct *prev, __u64 now)
{
	struct invocation *v;
	struct task *t;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;
	t = task_of(prev);
	v = t ? invocation_of(t) : NULL;
	if (!granted(v, now) || allowance(t->weighed, now) <= 0)
		return false;
	return goes_on(prev, t, key_of(prev, t, v, now), true, now);
}

/* Does @prev, whose slice is used, go on? Yes if it is first in @class, or alone. */
static __always_inline bool keeps(struct task_struct *prev, __u32 class, __u32 queue, bool alone, __u64 now)
{
	struct task *t;
	__u64 key, head;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;
	t = task_of(prev);
	if (!t || class_of(t) != class || allowance(t->weighed, now) <= 0)
		return false;
	key = t->function ? key_of(prev, t, invocation_of(t), now) : t->vtime;
	if (!alone && head_of(QUEUE(class, queue), &head) && before(head, key))
		return false;
	return goes_on(prev, t, key, false, now);
}

/*
 * Does a function's task that runs end its slice now? Yes if what the guard gave
 * it is used, if the guard lets another invocation go first, or if other tasks
 * have had less than their part.
 */
static __always_inline bool makes_way(struct task *t, __s32 cpu, __u32 queue, __u64 now)
{
	struct cpu *c = cpu_at(cpu);

	if (c && c->guarded)
		return !granted(invocation_of(t), now);
	return scx_bpf_dsq_nr_queued(GRANTED(queue)) > 0 ||
	       (others_first(cpu) && scx_bpf_dsq_nr_queued(QUEUE(OTHER, queue)) > 0);
}
