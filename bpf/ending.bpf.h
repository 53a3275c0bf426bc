/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who must end waits for no rank: to die a process needs the CPU, and whoever
 * killed it waits for that. From a fatal signal to the last switch of its last
 * thread, or for ENDING_LIMIT, the function of the process has bias 0 and the
 * slices of the others are CFS's.
 *
 * The signal counts if the kernel sent it (out of memory, the end of a PID
 * namespace) or somebody outside the function: a function cannot have itself served
 * earlier by killing its own children. What ends by itself counts if it is
 * no invocation: a container's first process, say, after SIGTERM. An invocation
 * that ends by itself does so when it comes first.
 */

#define SIGKILL		  9
#define SIGNAL_GROUP_EXIT 4
#define SEND_SIG_PRIV	  1 /* in place of a siginfo: the kernel's own */
#define ENDING_LIMIT	  (10ULL * 1000 * 1000 * 1000)

/* By tgid: the function that is in a hurry for it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RUNNING);
	__type(key, __u32);
	__type(value, __u64); /* cgroup id */
} ending SEC(".maps");

/* All threads of @p's process are past their last work. */
static __always_inline bool is_gone(struct task_struct *p)
{
	return p->signal->live.counter <= 0 && p->signal->nr_threads <= 1 &&
	       p->group_leader->exit_state;
}

/* @p's process must end; @again: even if that is known, it has its time anew. */
static __always_inline void must_end(struct task_struct *p, bool again)
{
	struct control *c = controls();
	__u32 tgid = p->tgid;
	struct function *fn;
	__u64 id = 0, until;
	bool known;

	fn = function_at(p->cgroups->dfl_cgrp->kn, &id);
	if (!fn || !c || is_gone(p))
		return;
	known = bpf_map_update_elem(&ending, &tgid, &id, BPF_NOEXIST);
	if (known && (!again || !bpf_map_lookup_elem(&ending, &tgid)))
		return;
	until = bpf_ktime_get_ns() + ENDING_LIMIT;
	fn->ending_until = until;
	c->ending_until = until;
	if (!known) {
		__sync_fetch_and_add(&fn->ending, 1);
		__sync_fetch_and_add(&c->ending, 1);
	}
	__sync_fetch_and_add(&c->epoch, 1);
}

/* Nobody is in a hurry for process @tgid any more; false if nobody was. */
static __always_inline bool no_hurry(__u32 tgid)
{
	__u64 *known = bpf_map_lookup_elem(&ending, &tgid), id;
	struct control *c = controls();
	struct function *fn;

	if (!known || !c)
		return false;
	id = *known;
	if (bpf_map_delete_elem(&ending, &tgid))
		return false; /* the last switch of another thread, at the same time */
	__sync_fetch_and_add(&c->ending, -1);
	fn = bpf_map_lookup_elem(&functions, &id);
	if (fn && fn->ending > 0)
		__sync_fetch_and_add(&fn->ending, -1);
	return true;
}

/* @p has had its last switch. */
static __always_inline void has_ended(struct task_struct *p)
{
	__u32 tgid = p->tgid;

	if (bpf_map_lookup_elem(&ending, &tgid) && is_gone(p))
		no_hurry(tgid);
}

SEC("tp_btf/signal_generate")
int BPF_PROG(observe_signal, int sig, void *info, struct task_struct *p)
{
	struct task_struct *sender = bpf_get_current_task_btf();
	__u64 from = 0, to = 0;

	if (sig != SIGKILL && !(p->signal->flags & SIGNAL_GROUP_EXIT))
		return 0;
	if (info != (void *)SEND_SIG_PRIV &&
	    function_at(sender->cgroups->dfl_cgrp->kn, &from) &&
	    function_at(p->cgroups->dfl_cgrp->kn, &to) && from == to)
		return 0;
	must_end(p, true);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(observe_exit, struct task_struct *p)
{
	__u32 pid = p->pid;

	if (bpf_map_lookup_elem(&tasks, &pid))
		return 0;
	if (p->signal->live.counter > 0 && !(p->signal->flags & SIGNAL_GROUP_EXIT))
		return 0; /* a thread of a process that goes on */
	must_end(p, false);
	return 0;
}

/* What user space sweeps: an entry whose thread is no more. */
enum sweepable { SWEEP_RUNNING, SWEEP_TASKS, SWEEP_ENDING, SWEEP_FORMER /* in running, too: it counts as an invocation no more */ };

struct stale {
	__u64 arrive_ns; /* of the invocation, so that a reused pid is noticed */
	__u32 pid;
	__u32 from; /* enum sweepable */
};

/* 1 if it was there. */
SEC("syscall")
int sweep(struct stale *s)
{
	__u32 pid = s->pid;
	struct event *e;
	struct task *t;

	switch (s->from) {
	case SWEEP_RUNNING:
	case SWEEP_FORMER:
		e = bpf_map_lookup_elem(&running, &pid);
		if (!e || e->arrive_ns != s->arrive_ns)
			return 0;
		if (s->from == SWEEP_RUNNING)
			count(LOST_INVOCATIONS);
		remove_invocation(e);
		return 1;
	case SWEEP_TASKS:
		t = bpf_map_lookup_elem(&tasks, &pid);
		if (!t || t->arrive_ns != s->arrive_ns)
			return 0;
		bpf_map_delete_elem(&tasks, &pid);
		count(LOST_TASKS);
		return 1;
	}
	return no_hurry(pid);
}
