//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only
/*
 * ALPS in the kernel: two programs that answer CFS's hooks from one policy
 * (hooks.bpf.h, steady.bpf.h), an observer that reports every invocation once it
 * ends (observer.bpf.h, and busy.bpf.h for invocations that are no processes), and
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
#define TASK_INTERRUPTIBLE   1
#define TASK_UNINTERRUPTIBLE 2
#define TASK_DEAD	     0x80
#define NSEC_PER_USEC 1000

/* The kernel's types, as far as they are used; CO-RE finds the offsets. */
#define relocate __attribute__((preserve_access_index))
struct kernfs_node {
	__u64 id;
	struct kernfs_node *parent; /* __parent since 6.15: the loader renames it */
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

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} relocate;

struct rb_root {
	struct rb_node *rb_node;
} relocate;

struct rb_root_cached {
	struct rb_root rb_root;
	struct rb_node *rb_leftmost;
} relocate;

struct sched_entity;
struct task_struct;

struct rq {
	int cpu;
	__u64 clock;
	struct task_struct *curr;
} relocate;

struct sched_avg {
	__u64 last_update_time;
} relocate;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} relocate;

struct task_group {
	struct cgroup_subsys_state css;
} relocate;

struct cfs_rq {
	unsigned int nr_running;
	struct sched_entity *curr;
	struct sched_entity *alps_held;
	struct rb_root_cached tasks_timeline;
	struct sched_avg avg;
	struct rq *rq;
	struct task_group *tg;
} relocate;

struct sched_entity {
	struct rb_node run_node;
	unsigned int on_rq;
	unsigned char sched_delayed; /* since 6.12 */
	__u64 sum_exec_runtime;
	__u64 alps_queued;
	__u64 alps_begun;
	struct cfs_rq *cfs_rq;
	struct cfs_rq *my_q;
} relocate;

struct thread_info {
	__u32 cpu;
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
	struct thread_info thread_info;
	int pid, tgid;
	unsigned int __state;
	unsigned char on_rq; /* an int until 6.14 or so: its lowest byte */
	int exit_state;
	unsigned long jobctl;
	unsigned int frozen : 1;
	struct sched_entity se;
	unsigned long nvcsw; /* times it slept */
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
	__u64 full_slices; /* report every on-CPU segment, not only the histogram */
	__u64 checked_jiffies; /* jiffies of the last look at the clock; ours to write */
	__u64 dead;	   /* what it told of the daemon; ours to write */
	__s64 ending;	   /* processes of functions that must end; ours to write, as the next */
	__u64 ending_until; /* not in a hurry any more, whatever is left of them */
	__u64 epoch;	   /* how often a function got into a hurry */
	__u64 functions;   /* how often user space changed them */
	__u64 steady;	   /* the policy has entries of steady */
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

static __always_inline struct control *controls(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* The length of an on-CPU segment falls into one of these, see bucket_of(). */
#define SLICE_BUCKETS 74

/*
 * One invocation: a process forked in a function's cgroup, until it ends; or a
 * busy period, see busy.bpf.h.
 */
struct event {
	__u64 cgroup_id; /* the function's */
	__u64 arrive_ns; /* fork, or waking; all times are CLOCK_MONOTONIC */
	__u64 exec_ns;	 /* last exec; 0: none */
	__u64 start_ns;	 /* first on a CPU */
	__u64 end_ns;	 /* last off a CPU: exit of the process's last thread; of a busy period: since when all sleep */
	__u64 cpu_ns;	 /* of all its threads and descendants, as the next ones */
	__u64 wait_ns;	 /* runnable, but not on a CPU */
	__u32 pid;
	__u32 nspid; /* in its innermost namespace */
	__u32 switches_vol;
	__u32 switches_invol;
	__u32 threads; /* of the process, alive; 0 when reported */
	__u32 tasks;   /* threads and descendants there ever were */
	__u32 fresh;   /* has not used its slice, under SFS */
	__u32 busy;    /* a busy period: enum busy */
	__u32 slices[SLICE_BUCKETS];
};

static const struct event no_event;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} events SEC(".maps");

/* One on-CPU segment, if they are wanted one by one. */
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

/* Invocations under way, by tgid; of functions with busy periods, by KEY_… */
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
	__u64 segment_ns; /* of its on-CPU segment, before it was interrupted */
	__u64 cpu_ns;	 /* accounted so far, as the next */
	__u64 wait_ns;
	__u32 root; /* tgid of the invocation, or another key in running */
	__u32 awake; /* counted in the period's awake */
	__u32 preempted_cpu; /* on which CPU it was interrupted, from 1; 0: it is not */
	__u32 never_ran; /* it waits for its first time on a CPU: its index in function_cpus, from 1 */
	__u32 slept; /* it sleeps, was woken, or was moved: it has not run since */
	__u32 slot; /* of the function */
	__u64 others_ns; /* CPU time of the invocation's other tasks, when it was last looked at */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32); /* pid */
	__type(value, struct task);
} tasks SEC(".maps");

/* What an invocation of a function is. */
enum source_kind {
	SOURCE_PROCESS, /* a process forked in its cgroup */
	SOURCE_BUSY,	/* a busy period of its cgroup */
	SOURCE_THREADS, /* a busy period of one of its threads */
};

struct source {
	__u32 kind;
	__u32 forks; /* processes begun, unless they are invocations; ours to write */
	__u64 idle_ns; /* a sleep that ends a busy period */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u32); /* the function's slot */
	__type(value, struct source);
} sources SEC(".maps");

/* Keys in running that are no pid. */
#define KEY_FUNCTION (1U << 31) /* | slot */
#define KEY_THREAD   (1U << 30) /* | pid */

/* What is beside the event of a busy period. */
struct period {
	struct bpf_spin_lock lock;
	__s32 awake; /* threads */
	__u64 slept_ns; /* since when none is */
	__u64 idle_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RUNNING);
	__type(key, __u32); /* KEY_… */
	__type(value, struct period);
} periods SEC(".maps");

/*
 * Whose on-CPU segment a CPU interrupts: pid, or 0. What is no invocation, a daemon or the
 * kernel's thread, does not end it: only another invocation does, or a move.
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

static __always_inline struct source *source_of(struct function *fn)
{
	return bpf_map_lookup_elem(&sources, &fn->slot);
}

/* The invocation that @t belongs to, if it has not ended. */
static __always_inline struct event *invocation_of(struct task *t)
{
	struct event *e = bpf_map_lookup_elem(&running, &t->root);

	return e && e->arrive_ns == t->arrive_ns ? e : NULL;
}

/* The function that a task in the cgroup of @kn serves: its nearest ancestor that is one, with @id. */
static __always_inline struct function *function_at(struct kernfs_node *kn, __u64 *id)
{
#pragma unroll
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct function *fn;

		if (!kn)
			return NULL;
		*id = kn->id;
		fn = bpf_map_lookup_elem(&functions, id);
		if (fn)
			return fn;
		kn = kn->parent;
	}
	return NULL;
}

/* The pid of @p in its innermost namespace. */
static __always_inline __u32 pid_inside(struct task_struct *p)
{
	struct pid *pid = BPF_CORE_READ(p, thread_pid);
	__u32 nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	return nr;
}

#include "hooks.bpf.h"
#include "busy.bpf.h"
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
