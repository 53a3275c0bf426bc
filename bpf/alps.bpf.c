//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only
/*
 * ALPS in the kernel: two programs that answer CFS's hooks from one policy,
 * an observer that reports every invocation once it ends (observer.bpf.h), and
 * the exception for processes that must end (ending.bpf.h).
 *
 * Most of this runs under the runqueue lock. It only looks up, and writes in
 * place: every map is preallocated, no loop is long, nothing sleeps.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MAX_FUNCTIONS 1024
#define MAX_RUNNING   8192
#define MAX_TASKS     16384
#define MAX_DEPTH     8 /* of a task below its function's cgroup */
#define TASK_DEAD     0x80
#define NSEC_PER_USEC 1000

/* The kernel's types, as far as they are used; CO-RE finds the offsets. */
#define relocate __attribute__((preserve_access_index))

struct kernfs_node {
	__u64 id;
	struct kernfs_node *parent; /* before 6.15 */
} relocate;

struct kernfs_node___6_15 {
	struct kernfs_node *__parent;
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

struct sched_entity;

struct cfs_rq {
	struct sched_entity *curr;
} relocate;

struct sched_entity {
	__u64 sum_exec_runtime;
	__u64 alps_turn;
	struct cfs_rq *my_q;
} relocate;

struct sched_info {
	unsigned long long run_delay;
} relocate;

struct signal_struct {
	struct {
		int counter;
	} live; /* threads that have not begun to exit */
	int nr_threads;
	unsigned int flags;
} relocate;

struct task_struct {
	int pid, tgid;
	unsigned int __state;
	int exit_state;
	struct sched_entity se;
	struct sched_info sched_info;
	struct pid *thread_pid;
	struct css_set *cgroups;
	struct signal_struct *signal;
	struct task_struct *group_leader;
} relocate;

/* What user space says, in words it may write at any time. */
struct control {
	__u64 generation;  /* of the policy that counts */
	__u64 valid_until; /* bpf_ktime_get_ns() of the daemon's presumed death; 0: no limit */
	__u64 full_slices; /* report every slice, not only the histogram */
	__u64 checked_jiffies; /* jiffies of the last look at the clock; ours to write */
	__u64 dead;	   /* what it told of the daemon; ours to write */
	__s64 ending;	   /* processes of functions that must end; ours to write, as the next */
	__u64 ending_until; /* not in a hurry any more, whatever is left of them */
	__u64 epoch;	   /* how often a function got into a hurry */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* A cgroup whose processes are invocations. The names are user space's. */
struct function {
	__u32 slot;  /* of its entries */
	__s32 fresh; /* invocations that have not used their slice, under SFS */
	__s64 ending; /* processes that must end, see ending.bpf.h */
	__u64 ending_until;
	char uid[128];
	char name[128];
	char cgroup[512];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u64); /* cgroup id */
	__type(value, struct function);
} functions SEC(".maps");

/*
 * What the hooks answer for one function. It counts if generation and cgroup
 * are the asked ones: a slot that has another owner now says nothing.
 */
struct entry {
	__u64 cgroup_id;
	__u64 generation;
	__u32 bias_us;	    /* 0: no opinion on the order */
	__u32 slice_us;	    /* 0: CFS's; under SFS of an invocation, not of a turn */
	__u32 late_bias_us; /* SFS: without a fresh invocation; 0: not SFS */
	__u32 pad;
};

/*
 * Two halves: of the even and of the odd generations. User space fills the half
 * that does not count, then switches control.generation.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * MAX_FUNCTIONS);
	__type(key, __u32);
	__type(value, struct entry);
} policy SEC(".maps");

static __always_inline struct control *controls(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/*
 * A policy nobody keeps up to date is worse than none. The clock is dear and
 * the bound is seconds: look at it once per jiffy, which is free to read.
 */
static __always_inline bool daemon_is_dead(struct control *c)
{
	__u64 now = bpf_jiffies64();

	if (!c->valid_until)
		return false;
	if (c->checked_jiffies != now) {
		c->dead = bpf_ktime_get_ns() > c->valid_until;
		c->checked_jiffies = now;
	}
	return c->dead;
}

static __always_inline struct entry *entry_of(__u64 cgroup_id, struct function **fn)
{
	struct control *c = controls();
	__u64 generation;
	struct entry *e;
	__u32 slot;

	*fn = bpf_map_lookup_elem(&functions, &cgroup_id);
	if (!*fn || !c)
		return NULL;
	generation = c->generation;
	slot = (*fn)->slot + (generation & 1) * MAX_FUNCTIONS;
	e = bpf_map_lookup_elem(&policy, &slot);
	if (!e || e->generation != generation || e->cgroup_id != cgroup_id || daemon_is_dead(c))
		return NULL;
	return e;
}

/* Some of @ending processes must end and have not had as long as that may take. */
static __always_inline bool in_a_hurry(__s64 ending, __u64 until)
{
	return ending > 0 && bpf_ktime_get_ns() < until;
}

/*
 * A function with a process that must end yields to nobody. That it is in a
 * hurry shows only in its own answer, and it may not be asked again before it is
 * queued again. So that others' answers change too, and the kernel asks everybody,
 * their lowest bit follows the epoch: a microsecond of bias changes no order.
 */
static __always_inline int bias_of(__u64 cgroup_id)
{
	struct function *fn;
	struct entry *e = entry_of(cgroup_id, &fn);
	struct control *c = controls();
	__u32 bias;

	if (!e || !c || in_a_hurry(fn->ending, fn->ending_until))
		return 0;
	bias = e->late_bias_us && fn->fresh <= 0 ? e->late_bias_us : e->bias_us;
	if (!bias || !(c->epoch & 1))
		return bias;
	return bias == 1 ? 2 : bias ^ 1;
}

SEC("fmod_ret/alps_hook_bias")
int BPF_PROG(alps_bias, __u64 cgroup_id)
{
	return bias_of(cgroup_id);
}

/* The length of a slice on a CPU falls into one of these, see bucket_of(). */
#define SLICE_BUCKETS 74

/* One invocation: a process forked in a function's cgroup, until it ends. */
struct event {
	__u64 cgroup_id; /* the function's */
	__u64 arrive_ns; /* fork; all times are CLOCK_MONOTONIC */
	__u64 exec_ns;	 /* last exec; 0: none */
	__u64 start_ns;	 /* first on a CPU */
	__u64 end_ns;	 /* last off a CPU: exit of the process's last thread */
	__u64 cpu_ns;	 /* of all its threads and descendants, as the next ones */
	__u64 wait_ns;	 /* runnable, but not on a CPU */
	__u32 pid;
	__u32 nspid; /* in its innermost namespace */
	__u32 switches_vol;
	__u32 switches_invol;
	__u32 threads; /* of the process, alive; 0 when reported */
	__u32 tasks;   /* threads and descendants there ever were */
	__u32 fresh;   /* has not used its slice, under SFS */
	__u32 pad;
	__u32 slices[SLICE_BUCKETS];
};

static const struct event no_event;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} events SEC(".maps");

/* One slice on a CPU, if they are wanted one by one. */
struct slice {
	__u64 cgroup_id;
	__u64 arrive_ns; /* with pid, the invocation */
	__u32 pid;
	__u32 us;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} slices SEC(".maps");

/* Invocations under way, by tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RUNNING);
	__type(key, __u32);
	__type(value, struct event);
} running SEC(".maps");

/* A thread of an invocation or of a descendant. */
struct task {
	__u64 arrive_ns; /* of the invocation, so that a reused pid is noticed */
	__u64 on_ns;	 /* since when it is on a CPU */
	__u64 turn_ns;	 /* of its turn, before it was interrupted */
	__u64 cpu_ns;	 /* accounted so far, as the next */
	__u64 wait_ns;
	__u32 root; /* tgid of the invocation */
	__u32 preempted_cpu; /* on which CPU it was interrupted, from 1; 0: it is not */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32); /* pid */
	__type(value, struct task);
} tasks SEC(".maps");

/*
 * Whose turn a CPU interrupts: pid, or 0. What is no invocation, a daemon or the
 * kernel's thread, does not end a turn: only another invocation does, or a move.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} interrupted SEC(".maps");

/* What went wrong, and how often. */
enum count {
	LOST_INVOCATIONS, /* never reported */
	LOST_TASKS,	  /* threads and descendants not accounted */
	LOST_SLICES,	  /* of those wanted one by one */
	ORPHANS,	  /* outlived their invocation: not accounted from then on */
	COUNTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* The invocation that @t belongs to, if it has not ended. */
static __always_inline struct event *invocation_of(struct task *t)
{
	struct event *e = bpf_map_lookup_elem(&running, &t->root);

	return e && e->arrive_ns == t->arrive_ns ? e : NULL;
}

/* @e has used its slice: from here on it is one of those that yield. */
static __always_inline void demote(struct event *e, struct function *fn)
{
	if (__sync_lock_test_and_set(&e->fresh, 0))
		__sync_fetch_and_add(&fn->fresh, -1);
}

/*
 * SFS: what is left of the slice of the invocation that runs below @se, as a
 * turn of @se that began earlier.
 */
static __always_inline int sfs_slice(struct entry *e, struct function *fn, struct sched_entity *se)
{
	__u64 limit = (__u64)e->slice_us * NSEC_PER_USEC, used, turn;
	struct sched_entity *at = se;
	struct event *inv;
	struct task *t;
	__u32 pid = 0;

#pragma unroll
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct cfs_rq *q = at->my_q;

		if (!q)
			break;
		at = q->curr;
		if (!at)
			return -1;
	}
	bpf_probe_read_kernel(&pid, sizeof(pid),
			      (void *)at - bpf_core_field_offset(struct task_struct, se) +
				      bpf_core_field_offset(struct task_struct, pid));
	t = bpf_map_lookup_elem(&tasks, &pid);
	if (!t)
		return -1;
	inv = invocation_of(t);
	if (!inv || !inv->fresh)
		return -1;
	used = inv->cpu_ns + (at->sum_exec_runtime - t->cpu_ns);
	if (used >= limit) {
		demote(inv, fn);
		return -1;
	}
	turn = se->sum_exec_runtime - se->alps_turn;
	return (turn + limit - used) / NSEC_PER_USEC + 1;
}

/* @se may be unknown, but then SFS's answer is, too. */
static __always_inline int slice_of(__u64 cgroup_id, struct sched_entity *se)
{
	struct function *fn;
	struct entry *e = entry_of(cgroup_id, &fn);
	struct control *c = controls();

	if (!e || !c)
		return 0;
	/* Who must end elsewhere does not wait for the end of a long slice. */
	if (in_a_hurry(c->ending, c->ending_until) && fn->ending <= 0)
		return -1;
	if (e->late_bias_us)
		return se ? sfs_slice(e, fn, se) : -1;
	return e->slice_us ?: -1;
}

SEC("fmod_ret/alps_hook_slice")
int BPF_PROG(alps_slice, __u64 cgroup_id, struct sched_entity *se)
{
	return slice_of(cgroup_id, se);
}

/* What alps_bias does for the cgroup in skb->mark, where it can be timed. */
SEC("tc")
int time_bias(struct __sk_buff *skb)
{
	return bias_of(skb->mark);
}

/* And alps_slice, but for SFS. */
SEC("tc")
int time_slice(struct __sk_buff *skb)
{
	return slice_of(skb->mark, NULL);
}

/* The same without them, to be subtracted. */
SEC("tc")
int time_nothing(struct __sk_buff *skb)
{
	return skb->mark;
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *kn)
{
	struct kernfs_node___6_15 *renamed = (void *)kn;

	return bpf_core_field_exists(renamed->__parent) ? renamed->__parent : kn->parent;
}

/* The function that a task in @cgrp serves: its nearest ancestor that is one. */
static __always_inline struct function *function_at(struct kernfs_node *kn, __u64 *id)
{
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct function *fn;

		if (!kn)
			return NULL;
		*id = kn->id;
		fn = bpf_map_lookup_elem(&functions, id);
		if (fn)
			return fn;
		kn = parent_of(kn);
	}
	return NULL;
}

#include "observer.bpf.h"
#include "ending.bpf.h"

/* Whoever gets this id next starts without a policy, with or without a daemon. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget, struct cgroup *cgrp)
{
	__u64 id = cgrp->kn->id;

	bpf_map_delete_elem(&functions, &id);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
