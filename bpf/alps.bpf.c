//go:build ignore

// SPDX-License-Identifier: GPL-2.0
/*
 * ALPS in the kernel: two programs that answer CFS's hooks from one map, and
 * an observer that reports every process of a function's cgroup once it ends.
 *
 * Both only look up and write in place: they run under the runqueue lock, so
 * every map is preallocated.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MAX_FUNCTIONS 1024
#define MAX_RUNNING   8192
#define TASK_DEAD     0x80

/* The kernel's types, as far as they are used; CO-RE finds the offsets. */
#define relocate __attribute__((preserve_access_index))

struct kernfs_node {
	__u64 id;
} relocate;

struct cgroup {
	struct kernfs_node *kn;
} relocate;

struct css_set {
	struct cgroup *dfl_cgrp;
} relocate;

struct upid {
	int nr;
} relocate;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} relocate;

struct sched_entity {
	__u64 sum_exec_runtime;
} relocate;

struct task_struct {
	int pid, tgid;
	unsigned int __state;
	struct sched_entity se;
	struct pid *thread_pid;
	struct css_set *cgroups;
	unsigned long nvcsw, nivcsw;
} relocate;

/* What the hooks answer for one cgroup. */
struct entry {
	__u32 bias_us;	/* 0: no opinion on the order */
	__u32 slice_us; /* 0: no opinion on the slice */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u64); /* cgroup id */
	__type(value, struct entry);
} policy SEC(".maps");

/* The daemon's sign of life: bpf_ktime_get_ns() of its death. 0: no limit. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} valid_until SEC(".maps");

static __always_inline struct entry *entry_of(__u64 cgroup_id)
{
	__u32 zero = 0;
	__u64 *until = bpf_map_lookup_elem(&valid_until, &zero);
	struct entry *e = bpf_map_lookup_elem(&policy, &cgroup_id);

	/* A policy nobody keeps up to date is worse than none. */
	if (e && until && *until && bpf_ktime_get_ns() > *until)
		return NULL;
	return e;
}

SEC("fmod_ret/alps_hook_bias")
int BPF_PROG(alps_bias, __u64 cgroup_id)
{
	struct entry *e = entry_of(cgroup_id);

	return e ? e->bias_us : 0;
}

SEC("fmod_ret/alps_hook_slice")
int BPF_PROG(alps_slice, __u64 cgroup_id)
{
	struct entry *e = entry_of(cgroup_id);

	return e ? e->slice_us : 0;
}

/* One invocation: a process forked in a function's cgroup, until it ends. */
struct event {
	__u64 cgroup_id;
	__u64 arrive_ns; /* fork; all times are CLOCK_MONOTONIC */
	__u64 exec_ns;	 /* last exec; 0: none */
	__u64 start_ns;	 /* first on a CPU */
	__u64 end_ns;	 /* last off a CPU: exit of the last thread */
	__u64 cpu_ns;	 /* whole thread group */
	__u32 pid;
	__u32 nspid; /* in its innermost namespace */
	__u32 switches_vol;
	__u32 switches_invol;
	__u32 threads; /* alive; 0 when reported */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Cgroups that are functions. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u64);
	__type(value, __u8);
} functions SEC(".maps");

/* Invocations under way, by tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RUNNING);
	__type(key, __u32);
	__type(value, struct event);
} running SEC(".maps");

/* Events that found no room. */
__u64 lost;

static __always_inline __u64 cgroup_of(struct task_struct *t)
{
	return BPF_CORE_READ(t, cgroups, dfl_cgrp, kn, id);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(observe_fork, struct task_struct *parent, struct task_struct *child)
{
	__u64 cgroup_id = cgroup_of(child);
	__u32 tgid = child->tgid, parent_tgid = parent->tgid;
	struct event e = {};
	struct pid *pid;
	unsigned int level;

	if (child->pid != child->tgid) {
		struct event *owner = bpf_map_lookup_elem(&running, &tgid);

		if (owner)
			__sync_fetch_and_add(&owner->threads, 1);
		return 0;
	}
	if (!bpf_map_lookup_elem(&functions, &cgroup_id))
		return 0;
	/* The function's own warm process comes from outside. */
	if (cgroup_of(parent) != cgroup_id)
		return 0;
	/* A grandchild belongs to the invocation that forked it. */
	if (bpf_map_lookup_elem(&running, &parent_tgid))
		return 0;
	pid = child->thread_pid;
	level = BPF_CORE_READ(pid, level);
	e.cgroup_id = cgroup_id;
	e.arrive_ns = bpf_ktime_get_ns();
	e.pid = tgid;
	e.threads = 1;
	bpf_probe_read_kernel(&e.nspid, sizeof(e.nspid),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	if (bpf_map_update_elem(&running, &tgid, &e, BPF_ANY))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(observe_exec, struct task_struct *t)
{
	__u32 tgid = t->tgid;
	struct event *e = bpf_map_lookup_elem(&running, &tgid);

	if (e)
		e->exec_ns = bpf_ktime_get_ns();
	return 0;
}

/*
 * The account of a thread is closed at its last switch, not at exit: only then
 * has CFS added its last milliseconds.
 */
static __always_inline void close_thread(struct task_struct *t)
{
	__u32 tgid = t->tgid;
	struct event *e = bpf_map_lookup_elem(&running, &tgid), *out;

	if (!e)
		return;
	__sync_fetch_and_add(&e->cpu_ns, t->se.sum_exec_runtime);
	__sync_fetch_and_add(&e->switches_vol, (__u32)t->nvcsw - 1); /* its death is one */
	__sync_fetch_and_add(&e->switches_invol, (__u32)t->nivcsw);
	__sync_fetch_and_add(&e->threads, -1);
	if (e->threads)
		return;
	out = bpf_ringbuf_reserve(&events, sizeof(*out), 0);
	if (out) {
		__builtin_memcpy(out, e, sizeof(*out));
		out->end_ns = bpf_ktime_get_ns();
		bpf_ringbuf_submit(out, 0);
	} else {
		__sync_fetch_and_add(&lost, 1);
	}
	bpf_map_delete_elem(&running, &tgid);
}

static __always_inline int switched(struct task_struct *prev, struct task_struct *next)
{
	__u32 tgid = next->tgid;
	struct event *e;

	if (prev->__state & TASK_DEAD)
		close_thread(prev);
	if (next->pid != next->tgid || next->se.sum_exec_runtime)
		return 0; /* not its first time */
	e = bpf_map_lookup_elem(&running, &tgid);
	if (e && !e->start_ns)
		e->start_ns = bpf_ktime_get_ns();
	return 0;
}

/* The tracepoint's arguments were in another order in 5.18; the loader picks. */
SEC("tp_btf/sched_switch")
int BPF_PROG(observe_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return switched(prev, next);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(observe_switch_5_18, bool preempt, unsigned int prev_state, struct task_struct *prev,
	     struct task_struct *next)
{
	return switched(prev, next);
}

char LICENSE[] SEC("license") = "GPL";
