/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who never ran: how many tasks of a function's invocations wait on a CPU for
 * their first time on one. They are counted from their first wakeup on, and follow
 * when they are moved. A thread or a child counts as a new invocation does: CFS
 * puts it behind the others, and its invocation may wait for it.
 */

/* CPUs that there can be; the loader sets it. */
const volatile __u32 cpus = 1;

/* What is known of a function on a CPU. */
struct function_cpu {
	__s32 never_ran; /* tasks that wait there and never ran; off for a moment while one is moved */
	/*
	 * Rises before and after each change of never_ran, and with each of what is kept of
	 * its tasks: an answer from before does not hold.
	 */
	__u32 changes;
	__u32 memo; /* what is remembered of its answers, from 1; 0: nothing */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FUNCTIONS); /* times cpus: the loader */
	__type(key, __u32);		    /* slot * cpus + CPU */
	__type(value, struct function_cpu);
} function_cpus SEC(".maps");

static __always_inline struct function_cpu *function_on(__u32 slot, __u32 cpu)
{
	__u32 at = slot * cpus + cpu;

	return bpf_map_lookup_elem(&function_cpus, &at);
}

/* What is kept of @t, a task on @cpu, has changed. */
static __always_inline void has_changed(struct task *t, __u32 cpu)
{
	struct function_cpu *f = function_on(t->slot, cpu);

	if (f)
		__sync_fetch_and_add(&f->changes, 1);
}

/* @t is not one that never ran any more. */
static __always_inline void runs_first(struct task *t)
{
	__u32 at = t->never_ran - 1;
	struct function_cpu *f = bpf_map_lookup_elem(&function_cpus, &at);

	t->never_ran = 0;
	if (!f)
		return;
	__sync_fetch_and_add(&f->changes, 1);
	/* Its slot may be another function's by now, whose count began at 0. */
	if (f->never_ran > 0)
		__sync_fetch_and_add(&f->never_ran, -1);
	__sync_fetch_and_add(&f->changes, 1);
}

/* @t is one that waits for its first time on @cpu. */
static __always_inline void waits_first(struct task *t, __u32 slot, __u32 cpu)
{
	struct function_cpu *f = function_on(slot, cpu);

	if (!f)
		return;
	t->never_ran = 1 + slot * cpus + cpu;
	__sync_fetch_and_add(&f->changes, 1);
	__sync_fetch_and_add(&f->never_ran, 1);
	__sync_fetch_and_add(&f->changes, 1);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(observe_wakeup_new, struct task_struct *p)
{
	__u32 pid = p->pid;
	struct task *t = bpf_map_lookup_elem(&tasks, &pid);
	struct function *fn;
	struct event *e;

	if (!t)
		return 0;
	e = invocation_of(t);
	if (!e)
		return 0;
	fn = bpf_map_lookup_elem(&functions, &e->cgroup_id);
	if (fn)
		waits_first(t, fn->slot, p->thread_info.cpu);
	return 0;
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(observe_migrate, struct task_struct *p, int to)
{
	__u32 pid = p->pid, slot;
	struct task *t = bpf_map_lookup_elem(&tasks, &pid);

	if (!t)
		return 0;
	t->slept = 1; /* it has not run where it comes to, as if it was woken there */
	has_changed(t, p->thread_info.cpu);
	if (!t->never_ran)
		return 0;
	slot = (t->never_ran - 1) / (cpus ?: 1);
	runs_first(t);
	waits_first(t, slot, to);
	return 0;
}
