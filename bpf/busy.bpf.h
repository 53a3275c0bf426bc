/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Invocations that are no processes: busy periods of a function that serves its
 * requests in a long-lived process. One begins when the first thread of the
 * function wakes after all slept, and ends when all sleep; it is reported when
 * they have slept for idle_ns, until then it may go on. With SOURCE_THREADS each
 * thread has busy periods of its own.
 *
 * Disk and locks (uninterruptible sleep) are no end: whoever waits there is in
 * the middle of something.
 *
 * A busy period's event lies in running, as an invocation's does, under a key that
 * is no pid; it stays there between the periods, with arrive_ns 0. So what
 * accounts for threads need not know the two apart.
 */

/* How a busy period began. */
enum busy {
	BUSY_WOKEN = 1,
	BUSY_FREEZER, /* by the cgroup's freezer, which wakes threads that sleep to have them sleep elsewhere */
};

#define JOBCTL_TRAP_FREEZE (1UL << 23)
/* A period that the freezer began is a request if it took more than this. */
#define FREEZER_NS (500 * NSEC_PER_USEC)

/* @t is of a function whose invocations are busy periods. */
static __always_inline bool is_busy(struct task *t)
{
	return t->root & (KEY_FUNCTION | KEY_THREAD);
}

/* @task wakes to be frozen, or because it was. */
static __always_inline bool is_freezer(struct task_struct *task)
{
	return task->jobctl & JOBCTL_TRAP_FREEZE || BPF_CORE_READ_BITFIELD(task, frozen);
}

static __always_inline bool is_request(struct event *e)
{
	return e->busy != BUSY_FREEZER || e->cpu_ns > FREEZER_NS;
}

/* The key of an account: the function's slot, or thread @pid. */
static __always_inline __u32 period_key(struct source *src, struct function *fn, __u32 pid)
{
	return src->kind == SOURCE_THREADS ? KEY_THREAD | pid : KEY_FUNCTION | fn->slot;
}

/* @p sleeps, or is about to, until somebody wakes it; not for a disk or a lock. */
static __always_inline bool sleeps(struct task_struct *p)
{
	__u32 state = *(volatile __u32 *)&p->__state;

	return state && (state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)) != TASK_UNINTERRUPTIBLE;
}

/* @p, which may be on any CPU or none, is off its runqueue until somebody wakes it. */
static __always_inline bool is_asleep(struct task_struct *p)
{
	if (!sleeps(p))
		return false;
	asm volatile("" ::: "memory"); /* read it each time */
	if (!p->on_rq)
		return true;
	/* Since 6.12 it may stay in the queue for a while. */
	if (!bpf_core_field_exists(p->se.sched_delayed))
		return false;
	asm volatile("" : "+r"(p)); /* else its offset is computed above, where a kernel that has none refuses it */
	return p->se.sched_delayed;
}

/*
 * Nobody goes on with the period, even if somebody wakes now. The last thread may
 * have fallen asleep on another CPU after @now was read.
 */
static __always_inline bool is_over(struct period *per, struct event *e, __u64 now)
{
	return per->awake <= 0 && e->arrive_ns && (__s64)(now - per->slept_ns) >= (__s64)per->idle_ns;
}

/* Under the period's lock. */
static __always_inline void open_period(struct event *e, __u32 tgid, enum busy how, __u64 now)
{
	e->arrive_ns = now;
	e->exec_ns = e->start_ns = e->cpu_ns = e->wait_ns = 0;
	e->pid = tgid;
	e->switches_vol = e->switches_invol = e->tasks = 0;
	e->fresh = 1;
	e->busy = how;
	__builtin_memset(e->slices, 0, sizeof(e->slices));
}

/* The function's invocations that are fresh, under SFS, are @n more. */
static __always_inline void add_fresh(__u64 cgroup_id, int n)
{
	struct function *fn = bpf_map_lookup_elem(&functions, &cgroup_id);

	if (fn)
		__sync_fetch_and_add(&fn->fresh, n);
}

/* Reports the period if it is over by @now. */
static __always_inline void settle_period(struct period *per, struct event *e, __u64 now)
{
	struct event *out;
	bool request = false, fresh = false;
	__u64 cgroup_id = e->cgroup_id;

	if (!is_over(per, e, now))
		return;
	out = bpf_ringbuf_reserve(&events, sizeof(*out), 0);
	/* One test of @out: 6.1 would not see that a second has the same answer. */
	if (!out) {
		bpf_spin_lock(&per->lock);
		if (is_over(per, e, now)) {
			fresh = e->fresh;
			request = is_request(e);
			e->arrive_ns = 0;
		}
		bpf_spin_unlock(&per->lock);
		if (request)
			count(LOST_INVOCATIONS);
	} else {
		bpf_spin_lock(&per->lock);
		if (is_over(per, e, now)) {
			fresh = e->fresh;
			request = is_request(e);
			__builtin_memcpy(out, e, sizeof(*out));
			out->end_ns = per->slept_ns;
			e->arrive_ns = 0;
		}
		bpf_spin_unlock(&per->lock);
		if (request)
			bpf_ringbuf_submit(out, 0);
		else
			bpf_ringbuf_discard(out, 0);
	}
	if (fresh)
		add_fresh(cgroup_id, -1);
}

/*
 * @p, whose account is @t, wants a CPU. What threads are awake changes under the
 * period's lock only: adopt() looks at threads while they wake and sleep, and one
 * counted twice would be awake for good.
 */
static __always_inline void wake(struct task_struct *p, struct task *t)
{
	__u32 key = t->root, tgid = p->tgid, before;
	struct period *per = bpf_map_lookup_elem(&periods, &key);
	struct event *e = bpf_map_lookup_elem(&running, &key);
	enum busy how = is_freezer(p) ? BUSY_FREEZER : BUSY_WOKEN;
	bool opened = false;
	__u64 now;

	if (!per || !e)
		return;
	now = bpf_ktime_get_ns();
	settle_period(per, e, now);
	before = e->pid;
	bpf_spin_lock(&per->lock);
	if (!t->awake) {
		t->awake = 1;
		if (!e->arrive_ns) {
			open_period(e, tgid, how, now);
			opened = true;
		}
		per->awake = per->awake < 0 ? 1 : per->awake + 1;
		if (t->arrive_ns != e->arrive_ns)
			e->tasks++;
		t->arrive_ns = e->arrive_ns;
		t->others_ns = e->cpu_ns - t->cpu_ns; /* what it used in former periods does not count */
	}
	bpf_spin_unlock(&per->lock);
	has_changed(t, p->thread_info.cpu);
	if (!opened)
		return;
	/* Nobody reports it meanwhile: @p is awake. */
	add_fresh(e->cgroup_id, 1);
	if (before != tgid)
		e->nspid = pid_inside(BPF_CORE_READ(p, group_leader));
}

/* The thread whose account is @t wants no CPU any more. */
static __always_inline void sleep(struct task *t, __u64 now)
{
	__u32 key = t->root;
	struct period *per = bpf_map_lookup_elem(&periods, &key);

	if (!per)
		return;
	bpf_spin_lock(&per->lock);
	if (t->awake) {
		t->awake = 0;
		per->awake--;
		if (per->awake <= 0)
			per->slept_ns = now;
	}
	bpf_spin_unlock(&per->lock);
}

static __always_inline void settle_key(__u32 key, __u64 now)
{
	struct period *per = bpf_map_lookup_elem(&periods, &key);
	struct event *e = bpf_map_lookup_elem(&running, &key);

	if (per && e)
		settle_period(per, e, now);
}

static __always_inline void drop_account(__u32 key)
{
	struct event *e = bpf_map_lookup_elem(&running, &key);

	if (e && e->arrive_ns && __sync_lock_test_and_set(&e->fresh, 0))
		add_fresh(e->cgroup_id, -1);
	bpf_map_delete_elem(&running, &key);
	bpf_map_delete_elem(&periods, &key);
}

/* The thread @pid, whose account is @t, is no more. */
static __always_inline void retire(struct task *t, __u32 pid, __u64 now)
{
	__u32 key = t->root;

	sleep(t, now);
	bpf_map_delete_elem(&tasks, &pid);
	if (key & KEY_THREAD) {
		settle_key(key, -1ULL >> 1);
		drop_account(key);
	}
}

/* Opens the accounts of @p, a thread of @fn. */
static __always_inline struct task *enlist(struct task_struct *p, struct function *fn, struct source *src, __u64 cgroup_id)
{
	struct task t = {};
	__u32 pid = p->pid, key = period_key(src, fn, pid);

	if (key & KEY_THREAD) {
		struct period per = { .idle_ns = src->idle_ns };
		struct event *e;

		if (bpf_map_update_elem(&periods, &key, &per, BPF_ANY) ||
		    bpf_map_update_elem(&running, &key, &no_event, BPF_ANY))
			goto lost;
		e = bpf_map_lookup_elem(&running, &key);
		if (!e)
			goto lost;
		e->cgroup_id = cgroup_id;
	}
	t.root = key;
	t.slot = fn->slot;
	t.cpu_ns = p->se.sum_exec_runtime;
	t.wait_ns = p->sched_info.run_delay;
	if (bpf_map_update_elem(&tasks, &pid, &t, BPF_NOEXIST))
		goto lost;
	return bpf_map_lookup_elem(&tasks, &pid);
lost:
	if (key & KEY_THREAD) {
		bpf_map_delete_elem(&running, &key);
		bpf_map_delete_elem(&periods, &key);
	}
	count(LOST_TASKS);
	return NULL;
}

/* Attached only where a function is served by a long-lived process. */
SEC("tp_btf/sched_wakeup")
int BPF_PROG(observe_wakeup, struct task_struct *p)
{
	__u32 pid = p->pid;
	struct task *t = bpf_map_lookup_elem(&tasks, &pid);

	if (t && is_busy(t))
		wake(p, t);
	return 0;
}

struct bpf_iter__task {
	struct task_struct *task;
} relocate;

/*
 * Read to its end, this sees all threads there are, enlists those of functions
 * that are served by a long-lived process, and sets right who sleeps.
 */
SEC("iter/task")
int adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *p = ctx->task;
	struct task *t;
	__u32 pid;

	if (!p)
		return 0;
	pid = p->pid;
	t = bpf_map_lookup_elem(&tasks, &pid);
	if (!t || !is_busy(t)) {
		__u64 id = 0;
		struct function *fn = function_at(p->cgroups->dfl_cgrp->kn, &id);
		struct source *src = fn ? source_of(fn) : NULL;

		if (!src || src->kind == SOURCE_PROCESS || p->exit_state)
			return 0;
		if (t) { /* of a process that was an invocation before, such as a server's worker */
			if (t->never_ran)
				runs_first(t);
			bpf_map_delete_elem(&tasks, &pid);
		}
		t = enlist(p, fn, src, id);
		if (!t)
			return 0;
	}
	/* It may wake or sleep while this looks: then again. */
	for (int i = 0; i < 4; i++) {
		bool asleep = is_asleep(p);

		if (asleep)
			sleep(t, bpf_ktime_get_ns());
		else
			wake(p, t);
		if (is_asleep(p) == asleep)
			break;
	}
	return 0;
}

static long settle_each(void *map, __u32 *key, void *value, __u64 *now)
{
	settle_key(*key, *now);
	return 0;
}

/*
 * Reports the busy periods that are over; or retires the thread in skb->mark, or
 * closes the account with the key that is there.
 */
SEC("tc")
int settle(struct __sk_buff *skb)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 pid = skb->mark;
	struct task *t;

	if (!pid) {
		bpf_for_each_map_elem(&periods, settle_each, &now, 0);
		return 0;
	}
	if (pid & (KEY_FUNCTION | KEY_THREAD)) {
		drop_account(pid);
		return 0;
	}
	t = bpf_map_lookup_elem(&tasks, &pid);
	if (t && is_busy(t))
		retire(t, pid, now);
	return 0;
}
