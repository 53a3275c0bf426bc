/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The observer: follows the processes of functions from fork to their last
 * switch, and reports an invocation when its process ends.
 */

static __always_inline struct event *begin(struct task_struct *child, __u64 cgroup_id,
					   struct function *fn)
{
	__u32 tgid = child->tgid;
	struct event *e;

	if (bpf_map_update_elem(&running, &tgid, &no_event, BPF_ANY))
		return NULL;
	e = bpf_map_lookup_elem(&running, &tgid);
	if (!e)
		return NULL;
	e->cgroup_id = cgroup_id;
	e->arrive_ns = bpf_ktime_get_ns();
	e->pid = tgid;
	e->fresh = 1;
	__sync_fetch_and_add(&fn->fresh, 1);
	e->nspid = pid_inside(child);
	return e;
}

/* @e is not under way any more. */
static __always_inline void remove_invocation(struct event *e)
{
	__u32 tgid = e->pid;

	if (e->fresh) {
		struct function *fn = bpf_map_lookup_elem(&functions, &e->cgroup_id);

		if (fn)
			demote(e, fn);
	}
	bpf_map_delete_elem(&running, &tgid);
}

/* @e will not be reported. */
static __always_inline void lose_invocation(struct event *e)
{
	remove_invocation(e);
	count(LOST_INVOCATIONS);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(observe_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 pid = child->pid, parent_pid = parent->pid;
	struct task *of = bpf_map_lookup_elem(&tasks, &parent_pid);
	bool busy = of && is_busy(of);
	struct event *e = of && !busy ? invocation_of(of) : NULL;
	struct task t = {};
	bool begun = !e;

	if (of)
		t.slot = of->slot;
	if (begun) {
		__u64 id = 0, parent_id = 0;
		struct function *fn;
		struct source *src;

		if (child->pid != child->tgid && !busy)
			return 0;
		fn = function_at(child->cgroups->dfl_cgrp->kn, &id);
		src = fn ? source_of(fn) : NULL;
		if (!src)
			return 0;
		if (src->kind != SOURCE_PROCESS) {
			struct task *own = enlist(child, fn, src, id);

			if (own)
				wake(child, own);
			if (child->pid == child->tgid)
				__sync_fetch_and_add(&src->forks, 1);
			return 0;
		}
		if (child->pid != child->tgid)
			return 0;
		/* The function's own warm process comes from outside. */
		if (!function_at(parent->cgroups->dfl_cgrp->kn, &parent_id) || parent_id != id)
			return 0;
		e = begin(child, id, fn);
		if (!e) {
			count(LOST_INVOCATIONS);
			return 0;
		}
		t.slot = fn->slot;
	}
	t.arrive_ns = e->arrive_ns;
	t.root = e->pid;
	t.others_ns = e->cpu_ns;
	if (bpf_map_update_elem(&tasks, &pid, &t, BPF_ANY)) {
		/* An invocation whose own thread is not known would never end. */
		if (begun)
			lose_invocation(e);
		else
			count(LOST_TASKS);
		return 0;
	}
	__sync_fetch_and_add(&e->tasks, 1);
	if (child->tgid == e->pid)
		__sync_fetch_and_add(&e->threads, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(observe_exec, struct task_struct *p, int old_pid)
{
	__u32 pid = p->pid, old = old_pid;
	struct task *t = bpf_map_lookup_elem(&tasks, &old);
	struct event *e;

	if (!t)
		return 0;
	if (is_busy(t)) {
		if (pid != old) { /* its account goes by its pid */
			__u64 id = 0;
			struct function *fn = function_at(p->cgroups->dfl_cgrp->kn, &id);
			struct source *src = fn ? source_of(fn) : NULL;

			retire(t, old, bpf_ktime_get_ns());
			if (src && src->kind != SOURCE_PROCESS) {
				t = enlist(p, fn, src, id);
				if (t)
					wake(p, t);
			}
		}
		return 0;
	}
	e = invocation_of(t);
	if (e && p->tgid == e->pid)
		e->exec_ns = bpf_ktime_get_ns();
	if (pid != old) { /* not the first thread: it takes that one's pid */
		struct task moved = *t;

		has_changed(t, bpf_get_smp_processor_id());
		bpf_map_delete_elem(&tasks, &old);
		if (!bpf_map_update_elem(&tasks, &pid, &moved, BPF_ANY))
			return 0;
		if (e && p->tgid == e->pid && __sync_fetch_and_add(&e->threads, -1) == 1)
			lose_invocation(e);
		else
			count(LOST_TASKS);
	}
	return 0;
}

/*
 * In whole microseconds: below 64; then four buckets from each power of two to
 * the next; 2^24 and above.
 */
static __always_inline __u32 bucket_of(__u64 us)
{
	__u32 v = us, log = 0;

	if (us < 64)
		return 0;
	if (us >= 1 << 24)
		return SLICE_BUCKETS - 1;
	if (v & 0xff0000)
		log = 16;
	else if (v & 0xff00)
		log = 8;
	if (v >> log & 0xf0)
		log += 4;
	if (v >> log & 0xc)
		log += 2;
	if (v >> log & 0x2)
		log++;
	return 1 + (log - 6) * 4 + (v >> (log - 2) & 3);
}

static __always_inline void account_slice(struct event *e, __u64 ns)
{
	__u64 us = ns / NSEC_PER_USEC;
	__u32 b = bucket_of(us);
	struct control *c = controls();
	struct slice *s;

	if (b < SLICE_BUCKETS)
		__sync_fetch_and_add(&e->slices[b], 1);
	if (!c || !c->full_slices)
		return;
	s = bpf_ringbuf_reserve(&slices, sizeof(*s), 0);
	if (!s) {
		count(LOST_SLICES);
		return;
	}
	s->cgroup_id = e->cgroup_id;
	s->arrive_ns = e->arrive_ns;
	s->pid = e->pid;
	s->us = us > (__u32)-1 ? (__u32)-1 : us;
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP);
}

static __always_inline void end(struct event *e, __u64 now)
{
	struct event *out;

	e->end_ns = now;
	out = bpf_ringbuf_reserve(&events, sizeof(*out), 0);
	if (out) {
		__builtin_memcpy(out, e, sizeof(*out));
		bpf_ringbuf_submit(out, 0);
	} else {
		count(LOST_INVOCATIONS);
	}
	remove_invocation(e);
}

/* The on-CPU segment of @t, which was interrupted, is over. */
static __always_inline void end_preempted_slice(struct task *t)
{
	struct event *e = invocation_of(t);

	if (e) {
		account_slice(e, t->segment_ns);
		__sync_fetch_and_add(&e->switches_invol, 1);
	}
	t->segment_ns = 0;
	t->preempted_cpu = 0;
}

/* And that of thread @pid, if it is still on @cpu that it was interrupted. */
static __always_inline void end_preempted_slice_at(__u32 pid, __u32 cpu)
{
	struct task *t = bpf_map_lookup_elem(&tasks, &pid);

	if (t && t->preempted_cpu == cpu)
		end_preempted_slice(t);
}

/*
 * @p, which is switched from, could go on. The tracepoint's @preempt is false if the kernel was
 * about to return to @p's own code; its state then is that of one that runs.
 */
static __always_inline bool was_preempted(struct task_struct *p, bool preempt)
{
	return preempt || !p->__state;
}

/* @p, whose account is @t, leaves the CPU; CFS has added up what it used. */
static __always_inline void task_off_cpu(struct task_struct *p, struct task *t, bool preempt, __u64 now)
{
	bool dead = p->__state & TASK_DEAD;
	struct event *e = invocation_of(t);
	__u32 pid = p->pid, zero = 0, *preempted;
	__u64 others;

	if (!e || dead)
		has_changed(t, bpf_get_smp_processor_id());
	if (!e) {
		if (is_busy(t) && !dead)
			return; /* it was not seen to wake */
		if (is_busy(t)) {
			retire(t, pid, now);
			return;
		}
		count(ORPHANS);
		bpf_map_delete_elem(&tasks, &pid);
		return;
	}
	__sync_fetch_and_add(&e->cpu_ns, p->se.sum_exec_runtime - t->cpu_ns);
	t->cpu_ns = p->se.sum_exec_runtime;
	__sync_fetch_and_add(&e->wait_ns, p->sched_info.run_delay - t->wait_ns);
	t->wait_ns = p->sched_info.run_delay;
	others = e->cpu_ns - t->cpu_ns;
	if (t->others_ns != others) {
		t->others_ns = others;
		has_changed(t, bpf_get_smp_processor_id());
	}
	if (t->on_ns)
		t->segment_ns += now - t->on_ns;
	if (was_preempted(p, preempt)) {
		preempted = bpf_map_lookup_elem(&interrupted, &zero);
		if (preempted) {
			if (*preempted)
				end_preempted_slice_at(*preempted, 1 + bpf_get_smp_processor_id());
			*preempted = pid;
			t->preempted_cpu = 1 + bpf_get_smp_processor_id();
			t->on_ns = 0;
			return;
		}
	}
	if (t->on_ns)
		account_slice(e, t->segment_ns);
	t->segment_ns = t->on_ns = 0;
	if (!dead) {
		__sync_fetch_and_add(&e->switches_vol, 1);
		t->slept = 1;
		if (is_busy(t) && sleeps(p))
			sleep(t, now);
		return;
	}
	if (is_busy(t)) {
		retire(t, pid, now);
		return;
	}
	bpf_map_delete_elem(&tasks, &pid);
	if (p->tgid == e->pid && __sync_fetch_and_add(&e->threads, -1) == 1)
		end(e, now);
}

/*
 * @p, whose account is @t, has the CPU. The segment that was interrupted there goes
 * on if it is its own, may go on if it is of another thread of the invocation,
 * and is over if it is of another invocation.
 */
static __always_inline void task_on_cpu(struct task_struct *p, struct task *t)
{
	__u32 pid = p->pid, zero = 0, cpu = 1 + bpf_get_smp_processor_id();
	__u32 *preempted = bpf_map_lookup_elem(&interrupted, &zero);

	if (preempted && *preempted) {
		struct task *other = *preempted == pid ? NULL : bpf_map_lookup_elem(&tasks, preempted);

		if (!other || other->arrive_ns != t->arrive_ns || other->root != t->root) {
			if (other)
				end_preempted_slice_at(*preempted, cpu);
			*preempted = 0;
		}
	}
	if (t->preempted_cpu && t->preempted_cpu != cpu)
		end_preempted_slice(t); /* it was moved */
	t->preempted_cpu = 0;
	if (t->slept) {
		t->slept = 0;
		woken_runs(p, t, cpu - 1);
	}
	t->on_ns = bpf_ktime_get_ns();
}

static __always_inline void has_ended(struct task_struct *p);

/*
 * @prev, of an invocation, was preempted and does not go on before others of its function:
 * either one of those took the CPU from it, @next with account @t, or it was interrupted
 * and has no time slice to go on in.
 */
static __always_inline bool lost_slice(struct task_struct *prev, struct task *was, struct task_struct *next,
				       struct task *t)
{
	if (prev->cgroups == next->cgroups)
		return !t || t->root != was->root;
	return bpf_core_field_exists(struct cfs_rq, alps_held) && prev->se.cfs_rq->alps_held != &prev->se;
}

static __always_inline int switched(bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 prev_pid = prev->pid, next_pid = next->pid;
	struct task *t, *was;

	/* The idle tasks share pid 0. */
	t = was = prev_pid ? bpf_map_lookup_elem(&tasks, &prev_pid) : NULL;
	if (t)
		task_off_cpu(prev, t, preempt, bpf_ktime_get_ns());
	if (prev->__state & TASK_DEAD)
		has_ended(prev);
	t = next_pid ? bpf_map_lookup_elem(&tasks, &next_pid) : NULL;
	if (was && was_preempted(prev, preempt) && lost_slice(prev, was, next, t)) {
		was->slept = 1; /* to go on it waits for nobody's quantum */
		has_changed(was, bpf_get_smp_processor_id());
	}
	if (t) {
		struct event *e;

		task_on_cpu(next, t);
		if (t->never_ran)
			runs_first(t);
		if (!is_busy(t) && (t->cpu_ns || next_pid != t->root))
			return 0;
		e = invocation_of(t);
		if (e && !e->start_ns)
			e->start_ns = t->on_ns;
	}
	return 0;
}

/* The tracepoint's arguments were in another order in 5.18's release candidates; the loader picks. */
SEC("tp_btf/sched_switch")
int BPF_PROG(observe_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return switched(preempt, prev, next);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(observe_switch_5_18, bool preempt, unsigned int prev_state, struct task_struct *prev,
	     struct task_struct *next)
{
	return switched(preempt, prev, next);
}
