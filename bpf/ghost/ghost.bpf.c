//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sched_ext scheduler that decides nothing: every task that wants a CPU is
 * reported to an agent in user space, and runs when and where that says.
 *
 * Built once for each generation of the kernel's names, with the macro API: see
 * package schedext.
 *
 * It is the nearest thing to a ghOSt enclave that an unpatched kernel has. The
 * agent's decision arrives by a system call (commit), which leaves it for the
 * CPU to fetch and kicks the CPU.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MAX_CPUS  64 /* bits of a word */
#define MAX_TASKS 16384
#define REASON    128

/* The kernel's own values, which BTF does not give as constants to C. */
#define SCX_OPS_ENQ_LAST       (1ULL << 1)
#define SCX_OPS_SWITCH_PARTIAL (1ULL << 3)
#define SCX_DSQ_GLOBAL	       (1ULL << 63 | 1)
#define SCX_DSQ_LOCAL	       (1ULL << 63 | 2)
#define SCX_SLICE_DFL	       20000000ULL
#define SCX_KICK_PREEMPT       (1ULL << 1)
#define SCX_ENQ_REENQ	       (1ULL << 40)

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

struct sched_entity {
	__u64 sum_exec_runtime;
} relocate;

struct cpumask {
	unsigned long bits[1];
} relocate;

struct sched_ext_entity {
	__u64 slice;
} relocate;

struct task_struct {
	int pid;
	struct sched_ext_entity scx;
	struct sched_entity se;
	struct css_set *cgroups;
	const struct cpumask *cpus_ptr;
} relocate;

struct scx_cpu_release_args {
	struct task_struct *task;
} relocate;

struct scx_exit_info {
	const char *reason;
	char *msg;
} relocate;

/* What is used of it; the loader finds the members by name. */
struct sched_ext_ops {
	__s32 (*select_cpu)(struct task_struct *p, __s32 prev_cpu, __u64 wake_flags);
	void (*enqueue)(struct task_struct *p, __u64 enq_flags);
	void (*dispatch)(__s32 cpu, struct task_struct *prev);
	void (*quiescent)(struct task_struct *p, __u64 deq_flags);
#if API < 619
	void (*cpu_release)(__s32 cpu, struct scx_cpu_release_args *args);
#endif
	void (*exit)(struct scx_exit_info *info);
	__u64 flags;
	char name[128];
};

#if API == 612
extern void scx_bpf_dispatch(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 enq_flags) __ksym;
#define insert scx_bpf_dispatch
#elif API == 613
extern void scx_bpf_dsq_insert(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 enq_flags) __ksym;
#define insert scx_bpf_dsq_insert
#elif API == 619
extern bool scx_bpf_dsq_insert___v2(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 enq_flags) __ksym;
#define insert scx_bpf_dsq_insert___v2
#endif

#if API < 619
extern __u32 scx_bpf_reenqueue_local(void) __ksym;
#else
extern void scx_bpf_reenqueue_local___v2(void) __ksym;
#endif
extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;

/* The thread that decides. */
const volatile __s32 agent;

enum what {
	RUNNABLE, /* wants a CPU: woken up, new, or its slice is used */
	BLOCKED,  /* wants none any more */
	ENDED,	  /* the kernel has taken the scheduler out */
};

struct message {
	__u64 seq; /* of this wish for a CPU: CLOCK_MONOTONIC, ns */
	__u64 cgroup_id;
	__u64 exec_ns; /* CPU time of the task so far */
	__u64 left_ns; /* of a time slice that another class of tasks interrupted */
	__u32 pid;
	__u32 what;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} messages SEC(".maps");

/* Tasks that wait for the agent's word, by pid: their wish. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32);
	__type(value, __u64);
} waiting SEC(".maps");

/* What the agent has decided for a CPU and the CPU has not fetched. */
struct decision {
	struct bpf_spin_lock lock;
	__u32 pid; /* 0: nothing */
	__u64 seq;
	__u64 slice_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, __u32);
	__type(value, struct decision);
} decisions SEC(".maps");

/* Why the kernel has taken the scheduler out. */
struct reason {
	char text[REASON];
	char detail[REASON];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reason);
} ended SEC(".maps");

/* Tasks that ran without the agent: it was too slow to read, or the task may not use the CPU it was given. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} bypassed SEC(".maps");

static __always_inline void bypass(struct task_struct *p)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&bypassed, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
	insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
}

/* The agent chooses CPUs: here a task stays where it was, and no idle CPU is claimed for it. */
SEC("struct_ops/ghost_select_cpu")
__s32 BPF_PROG(ghost_select_cpu, struct task_struct *p, __s32 prev_cpu, __u64 wake_flags)
{
	return prev_cpu;
}

SEC("struct_ops/ghost_enqueue")
void BPF_PROG(ghost_enqueue, struct task_struct *p, __u64 enq_flags)
{
	__u64 seq = bpf_ktime_get_ns();
	__u32 pid = p->pid;
	struct message *m;

	if (bpf_map_update_elem(&waiting, &pid, &seq, BPF_ANY)) {
		bypass(p);
		return;
	}
	m = bpf_ringbuf_reserve(&messages, sizeof(*m), 0);
	if (!m) {
		bpf_map_delete_elem(&waiting, &pid);
		bypass(p);
		return;
	}
	m->seq = seq;
	m->cgroup_id = BPF_CORE_READ(p, cgroups, dfl_cgrp, kn, id);
	m->exec_ns = p->se.sum_exec_runtime;
	m->left_ns = enq_flags & SCX_ENQ_REENQ ? p->scx.slice : 0;
	m->pid = pid;
	m->what = RUNNABLE;
	bpf_ringbuf_submit(m, 0);
}

SEC("struct_ops/ghost_quiescent")
void BPF_PROG(ghost_quiescent, struct task_struct *p, __u64 deq_flags)
{
	__u32 pid = p->pid;
	struct message *m;

	bpf_map_delete_elem(&waiting, &pid);
	m = bpf_ringbuf_reserve(&messages, sizeof(*m), 0);
	if (!m)
		return;
	__builtin_memset(m, 0, sizeof(*m));
	m->seq = bpf_ktime_get_ns();
	m->exec_ns = p->se.sum_exec_runtime;
	m->pid = pid;
	m->what = BLOCKED;
	bpf_ringbuf_submit(m, 0);
}

/* The CPU has nothing to run: does the agent know of something? */
SEC("struct_ops/ghost_dispatch")
void BPF_PROG(ghost_dispatch, __s32 cpu, struct task_struct *prev)
{
	__u32 key = cpu, pid;
	struct decision *d = bpf_map_lookup_elem(&decisions, &key);
	struct task_struct *p;
	__u64 seq, slice, *wish;

	if (!d || !d->pid)
		return;
	bpf_spin_lock(&d->lock);
	pid = d->pid;
	seq = d->seq;
	slice = d->slice_ns;
	d->pid = 0;
	bpf_spin_unlock(&d->lock);
	/* The task may have wished anew, or no longer, since the agent decided. */
	wish = bpf_map_lookup_elem(&waiting, &pid);
	if (!wish || *wish != seq)
		return;
	p = bpf_task_from_pid(pid);
	if (!p)
		return;
	bpf_map_delete_elem(&waiting, &pid);
	if (BPF_CORE_READ(p, cpus_ptr, bits[0]) >> (key & (MAX_CPUS - 1)) & 1)
		insert(p, SCX_DSQ_LOCAL, slice, 0);
	else
		bypass(p);
	bpf_task_release(p);
}

/*
 * A task of another class needs the CPU. If that is the agent, it decides anew about
 * what ran; after any other it goes on with what is left of its slice.
 */
#if API < 619
SEC("struct_ops/ghost_cpu_release")
void BPF_PROG(ghost_cpu_release, __s32 cpu, struct scx_cpu_release_args *args)
{
	if (BPF_CORE_READ(args, task, pid) == agent)
		scx_bpf_reenqueue_local();
}
#else
SEC("tp_btf/sched_switch")
int BPF_PROG(ghost_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	if (next->pid == agent)
		scx_bpf_reenqueue_local___v2();
	return 0;
}
#endif

SEC("struct_ops/ghost_exit")
void BPF_PROG(ghost_exit, struct scx_exit_info *info)
{
	__u32 zero = 0;
	struct reason *r = bpf_map_lookup_elem(&ended, &zero);
	struct message *m;

	if (r) {
		bpf_probe_read_kernel_str(r->text, sizeof(r->text), BPF_CORE_READ(info, reason));
		bpf_probe_read_kernel_str(r->detail, sizeof(r->detail), BPF_CORE_READ(info, msg));
	}
	m = bpf_ringbuf_reserve(&messages, sizeof(*m), 0);
	if (!m)
		return;
	__builtin_memset(m, 0, sizeof(*m));
	m->what = ENDED;
	bpf_ringbuf_submit(m, 0);
}

struct commit {
	__u64 seq;
	__u64 slice_ns;
	__u32 pid;
	__u32 cpu;
	__u32 preempt; /* what runs there */
	__u32 instead; /* answered: whose decision the CPU had not fetched yet */
};

SEC("syscall")
int ghost_commit(struct commit *c)
{
	__u32 cpu = c->cpu;
	struct decision *d = bpf_map_lookup_elem(&decisions, &cpu);
	__u64 seq = c->seq, slice = c->slice_ns;
	__u32 pid = c->pid, instead;

	if (!d)
		return 1;
	bpf_spin_lock(&d->lock);
	instead = d->pid;
	d->pid = pid;
	d->seq = seq;
	d->slice_ns = slice;
	bpf_spin_unlock(&d->lock);
	c->instead = instead;
	scx_bpf_kick_cpu(cpu, c->preempt ? SCX_KICK_PREEMPT : 0);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops alps_ghost = {
	.select_cpu = (void *)ghost_select_cpu,
	.enqueue = (void *)ghost_enqueue,
	.dispatch = (void *)ghost_dispatch,
	.quiescent = (void *)ghost_quiescent,
#if API < 619
	.cpu_release = (void *)ghost_cpu_release,
#endif
	.exit = (void *)ghost_exit,
	.flags = SCX_OPS_ENQ_LAST | SCX_OPS_SWITCH_PARTIAL,
	.name = "alps_ghost",
};

char LICENSE[] SEC("license") = "GPL";
