/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who never ran: how many tasks of a function's invocations wait on a CPU for
 * their first time on one. They are counted from their first wakeup on, and follow
 * when they are moved. A thread or a child counts as a new invocation does: CFS
 * puts it behind the others, and its invocation may wait for it.
 */

/* CPUs that there can be; the loader sets it. */
const volatile __u32 cpus = 1;

/*
 * How many tasks of a function's invocations wait on a CPU that never ran, by slot *
 * cpus + CPU. It may be off for a moment while one is moved.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FUNCTIONS); /* times cpus: the loader */
	__type(key, __u32);
	__type(value, __s32);
} never_ran SEC(".maps");

/* The number of tasks of @slot that wait on @cpu and never ran. */
static __always_inline __s32 *never_ran_on(__u32 slot, __u32 cpu)
{
	__u32 at = slot * cpus + cpu;

	return bpf_map_lookup_elem(&never_ran, &at);
}

/* @t is not one that never ran any more. */
static __always_inline void runs_first(struct task *t)
{
	__u32 at = t->never_ran - 1;
	__s32 *n = bpf_map_lookup_elem(&never_ran, &at);

	t->never_ran = 0;
	/* Its slot may be another function's by now, whose count began at 0. */
	if (n && *n > 0)
		__sync_fetch_and_add(n, -1);
}

/* @t is one that waits for its first time on @cpu. */
static __always_inline void waits_first(struct task *t, __u32 slot, __u32 cpu)
{
	__s32 *n = never_ran_on(slot, cpu);

	if (!n)
		return;
	__sync_fetch_and_add(n, 1);
	t->never_ran = 1 + slot * cpus + cpu;
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
	if (!t->never_ran)
		return 0;
	slot = (t->never_ran - 1) / (cpus ?: 1);
	runs_first(t);
	waits_first(t, slot, to);
	return 0;
}
