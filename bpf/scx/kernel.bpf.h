/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel as far as it is used: types, whose offsets CO-RE finds, constants,
 * and the calls of sched_ext by the names that this object's kernels have.
 *
 * A kernel function is found by its full name. So each generation of names has
 * an object of its own, built with API set to the first kernel that has them:
 *
 *   612  scx_bpf_dispatch, scx_bpf_consume
 *   613  scx_bpf_dsq_insert, scx_bpf_dsq_move_to_local
 *   701  the same, ending in ___v2, and arguments in a struct
 */
#define relocate __attribute__((preserve_access_index))

struct kernfs_node {
	__u64 id;
} relocate;

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} relocate;

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[1];
} relocate;

struct css_set {
	struct cgroup *dfl_cgrp;
} relocate;

struct task_group {
	struct cgroup_subsys_state css;
} relocate;

struct sched_entity {
	__u64 sum_exec_runtime;
} relocate;

struct cpumask {
	unsigned long bits[1];
} relocate;

struct sched_ext_entity {
	__u32 flags;
	__u32 weight;
	__u64 slice;
	__u64 dsq_vtime;
} relocate;

struct signal_struct {
	unsigned int flags;
} relocate;

struct task_struct {
	int pid, tgid;
	unsigned int __state;
	unsigned int flags;
	int nr_cpus_allowed;
	struct sched_ext_entity scx;
	struct sched_entity se;
	struct css_set *cgroups;
	struct task_group *sched_task_group;
	struct signal_struct *signal;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	const struct cpumask *cpus_ptr;
} relocate;

struct scx_init_task_args {
	bool fork;
} relocate;

struct scx_exit_task_args {
	bool cancelled;
} relocate;

struct scx_cgroup_init_args {
	__u32 weight;
	__u64 bw_period_us;
	__u64 bw_quota_us;
	__u64 bw_burst_us;
} relocate;

enum scx_exit_kind {
	SCX_EXIT_NONE,
};

struct scx_exit_info {
	enum scx_exit_kind kind;
	__s64 exit_code;
	const char *reason;
	char *msg;
} relocate;

/* The members that are used; the loader finds them by name. */
struct sched_ext_ops {
	__s32 (*select_cpu)(struct task_struct *p, __s32 prev_cpu, __u64 wake_flags);
	void (*enqueue)(struct task_struct *p, __u64 enq_flags);
	void (*dispatch)(__s32 cpu, struct task_struct *prev);
	void (*tick)(struct task_struct *p);
	void (*runnable)(struct task_struct *p, __u64 enq_flags);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*quiescent)(struct task_struct *p, __u64 deq_flags);
	__s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args);
	void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
	__s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args);
	void (*cgroup_exit)(struct cgroup *cgrp);
	void (*cgroup_set_weight)(struct cgroup *cgrp, __u32 weight);
	void (*cgroup_set_bandwidth)(struct cgroup *cgrp, __u64 period_us, __u64 quota_us, __u64 burst_us);
	void (*cpu_online)(__s32 cpu);
	void (*cpu_offline)(__s32 cpu);
	__s32 (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	__u64 flags;
	__u32 timeout_ms;
	char name[128];
};

/* Values that BTF gives as enumerations, the same in all generations. */
#define SCX_OPS_ENQ_LAST       (1ULL << 1)
#define SCX_OPS_SWITCH_PARTIAL (1ULL << 3)
#define SCX_DSQ_LOCAL	       (1ULL << 63 | 2)
#define SCX_SLICE_DFL	       20000000ULL
#define SCX_ENQ_WAKEUP	       1ULL
#define SCX_ENQ_PREEMPT	       (1ULL << 32)
#define SCX_DEQ_SLEEP	       1ULL
#define SCX_ENQ_LAST	       (1ULL << 41)
#define SCX_KICK_IDLE	       (1ULL << 0)
#define SCX_KICK_PREEMPT       (1ULL << 1)
#define SCX_TASK_QUEUED	       (1U << 0)
#define PF_KTHREAD	       0x00200000
#define TASK_INTERRUPTIBLE     1
#define TASK_UNINTERRUPTIBLE   2
#define SIGNAL_GROUP_EXIT      4
#define NSEC_PER_USEC	       1000ULL
#define NSEC_PER_MSEC	       1000000ULL
#define CLOCK_MONOTONIC	       1

struct bpf_iter_scx_dsq {
	__u64 opaque[6];
} __attribute__((aligned(8)));

extern void scx_bpf_exit_bstr(__s64 exit_code, char *fmt, unsigned long long *data, __u32 data__sz) __ksym;
extern __s32 scx_bpf_create_dsq(__u64 dsq_id, __s32 node) __ksym;
extern __s32 scx_bpf_dsq_nr_queued(__u64 dsq_id) __ksym;
extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;
extern __s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
extern __s32 scx_bpf_select_cpu_dfl(struct task_struct *p, __s32 prev_cpu, __u64 wake_flags, bool *is_idle) __ksym;
extern __s32 scx_bpf_pick_idle_cpu(const struct cpumask *allowed, __u64 flags) __ksym;
extern int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, __u64 dsq_id, __u64 flags) __ksym;
extern struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __ksym;
extern void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __ksym;

#if API == 612
extern void scx_bpf_dispatch(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 enq_flags) __ksym;
extern void scx_bpf_dispatch_vtime(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 vtime, __u64 enq_flags) __ksym;
extern bool scx_bpf_consume(__u64 dsq_id) __ksym;
extern bool scx_bpf_dispatch_from_dsq(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, __u64 dsq_id, __u64 enq_flags) __ksym;
extern bool scx_bpf_dispatch_vtime_from_dsq(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, __u64 dsq_id, __u64 enq_flags) __ksym;
#define insert_fifo  scx_bpf_dispatch
#define insert_key   scx_bpf_dispatch_vtime
#define take_first   scx_bpf_consume
#define move_fifo    scx_bpf_dispatch_from_dsq
#define move_key     scx_bpf_dispatch_vtime_from_dsq
#else
extern bool scx_bpf_dsq_move(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, __u64 dsq_id, __u64 enq_flags) __ksym;
extern bool scx_bpf_dsq_move_vtime(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, __u64 dsq_id, __u64 enq_flags) __ksym;
#define move_fifo    scx_bpf_dsq_move
#define move_key     scx_bpf_dsq_move_vtime
#endif

#if API == 613
extern void scx_bpf_dsq_insert(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 enq_flags) __ksym;
extern void scx_bpf_dsq_insert_vtime(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 vtime, __u64 enq_flags) __ksym;
extern bool scx_bpf_dsq_move_to_local(__u64 dsq_id) __ksym;
#define insert_fifo  scx_bpf_dsq_insert
#define insert_key   scx_bpf_dsq_insert_vtime
#define take_first   scx_bpf_dsq_move_to_local
#endif

#if API == 701
struct scx_bpf_dsq_insert_vtime_args {
	__u64 dsq_id, slice, vtime, enq_flags;
};
extern bool scx_bpf_dsq_insert___v2(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 enq_flags) __ksym;
/* The kernel's has two underscores before its name, and clang 14 leaves such a one out of BTF: the loader adds them. */
extern bool scx_bpf_dsq_insert_vtime(struct task_struct *p, struct scx_bpf_dsq_insert_vtime_args *args) __ksym;
extern bool scx_bpf_dsq_move_to_local___v2(__u64 dsq_id, __u64 enq_flags) __ksym;
extern bool scx_bpf_task_set_slice(struct task_struct *p, __u64 slice) __ksym;
#define insert_fifo   scx_bpf_dsq_insert___v2
#define take_first(d) scx_bpf_dsq_move_to_local___v2(d, 0)
#define set_slice     scx_bpf_task_set_slice

static __always_inline void insert_key(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 vtime, __u64 enq_flags)
{
	struct scx_bpf_dsq_insert_vtime_args args = {dsq_id, slice, vtime, enq_flags};

	scx_bpf_dsq_insert_vtime(p, &args);
}
#else
#define set_slice(p, ns) ((p)->scx.slice = (ns))
#endif

/* The id of the cgroup that is the ancestor of @cgrp at @level. */
static __always_inline __u64 ancestor_id(struct cgroup *cgrp, int level)
{
	struct cgroup *at = NULL;
	__u64 from = 0;

	/* As a number: the verifier lets nothing variable be added to a pointer it trusts. */
	bpf_probe_read_kernel(&from, sizeof(from), &cgrp);
	from += bpf_core_field_offset(struct cgroup, ancestors) + 8 * level;
	bpf_probe_read_kernel(&at, sizeof(at), (void *)from);
	return BPF_CORE_READ(at, kn, id);
}

/* May @p run on @cpu? */
static __always_inline bool may_run(struct task_struct *p, __s32 cpu)
{
	__u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)BPF_CORE_READ(p, cpus_ptr) + bpf_core_field_offset(struct cpumask, bits) + ((__u32)cpu >> 6 << 3));
	return word >> (cpu & 63) & 1;
}

/* @p, which leaves its queue, sleeps until somebody wakes it; not for a disk or a lock. */
static __always_inline bool waits(struct task_struct *p)
{
	return (p->__state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)) != TASK_UNINTERRUPTIBLE;
}
