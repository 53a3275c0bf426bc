/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cgroup v2's cpu.weight and cpu.max, which are a sched_ext scheduler's to keep.
 *
 * Weight: what is runnable makes a tree of active cgroups. Each has the sum of
 * the weights of its active children and of its own runnable tasks; the product
 * of a cgroup's parts along its path is its part of the CPUs.
 *
 * Quota: every cgroup with a limit has a budget, from which the CPU time of all
 * tasks below it is taken. It grows by the quota once a period, never above
 * quota + burst, and may be negative by a tick for each CPU: that is paid back.
 */
#define MAX_CGROUPS 16384
#define WHOLE	    65536 /* all CPUs, in the unit of parts */

struct cg {
	__u64 parent; /* 0: the root */
	__s64 sum;    /* weights of active children and of runnable tasks */
	__u64 part_at; /* when part was found */
	__u32 part;
	__u32 weight;
	__s32 active; /* children and tasks */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CGROUPS);
	__type(key, __u64);
	__type(value, struct cg);
} cgroups SEC(".maps");

struct limit {
	__u64 quota_ns;
	__u64 period_ns;
	__u64 burst_ns;
	__u64 began_ns; /* the period */
	__s64 budget_ns;
};

/* Cgroups with a cpu.max. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CGROUPS);
	__type(key, __u64);
	__type(value, struct limit);
} limits SEC(".maps");

__u64 root_cgroup;
__u64 limited; /* how many limits there are or were: 0 saves looking */

static __always_inline __u64 weighing_cgroup(struct task_struct *p)
{
	return BPF_CORE_READ(p, sched_task_group, css.cgroup, kn, id) ?: root_cgroup;
}

__noinline int enter(__u64 id, __u32 weight)
{
	struct cg *g = bpf_map_lookup_elem(&cgroups, &id);

	if (g)
		__sync_fetch_and_add(&g->sum, weight);
	for (int i = 0; i < MAX_DEPTH && g; i++) {
		struct cg *parent;

		if (__sync_fetch_and_add(&g->active, 1))
			return 0;
		parent = bpf_map_lookup_elem(&cgroups, &g->parent);
		if (parent)
			__sync_fetch_and_add(&parent->sum, g->weight);
		g = parent;
	}
	return 0;
}

__noinline int leave(__u64 id, __u32 weight)
{
	struct cg *g = bpf_map_lookup_elem(&cgroups, &id);

	if (g)
		__sync_fetch_and_add(&g->sum, -(__s64)weight);
	for (int i = 0; i < MAX_DEPTH && g; i++) {
		struct cg *parent;

		if (__sync_fetch_and_add(&g->active, -1) != 1)
			return 0;
		parent = bpf_map_lookup_elem(&cgroups, &g->parent);
		if (parent)
			__sync_fetch_and_add(&parent->sum, -(__s64)g->weight);
		g = parent;
	}
	return 0;
}

/* The part of the CPUs that a cgroup may use now, at least 1. */
__noinline __u32 part_of(__u64 id, __u64 now)
{
	struct cg *g = bpf_map_lookup_elem(&cgroups, &id), *first = g;
	__u64 part = WHOLE;

	if (!g)
		return WHOLE;
	if (now - g->part_at < NSEC_PER_MSEC)
		return g->part;
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct cg *parent = bpf_map_lookup_elem(&cgroups, &g->parent);
		__s64 sum;

		if (!parent)
			break;
		sum = parent->sum;
		if (sum > g->weight)
			part = part * g->weight / (__u64)sum;
		g = parent;
	}
	first->part = part ?: 1;
	first->part_at = now;
	return first->part;
}

/* What is left to @l of its period, which may be another than at the last look. */
static __always_inline __s64 budget_of(struct limit *l, __u64 now)
{
	__u64 began = l->began_ns, periods;

	if (!l->period_ns || now < began + l->period_ns)
		return l->budget_ns;
	periods = (now - began) / l->period_ns;
	/* One of those who see it fills it up. */
	if (__sync_val_compare_and_swap(&l->began_ns, began, began + periods * l->period_ns) == began) {
		__s64 most = l->quota_ns + l->burst_ns;

		if (periods > 1000)
			periods = 1000;
		if (__sync_fetch_and_add(&l->budget_ns, periods * l->quota_ns) + (__s64)(periods * l->quota_ns) > most)
			l->budget_ns = most;
	}
	return l->budget_ns;
}

/* The least budget of @id and of what it is in; a large number if nothing is limited. */
__noinline __s64 allowance(__u64 id, __u64 now)
{
	__s64 least = 1LL << 62;

	if (!limited)
		return least;
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct limit *l = bpf_map_lookup_elem(&limits, &id);
		struct cg *g;

		if (l) {
			__s64 b = budget_of(l, now);

			if (b < least)
				least = b;
		}
		g = bpf_map_lookup_elem(&cgroups, &id);
		if (!g || !g->parent)
			break;
		id = g->parent;
	}
	return least;
}

__noinline int spend(__u64 id, __u64 ns)
{
	if (!limited)
		return 0;
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct limit *l = bpf_map_lookup_elem(&limits, &id);
		struct cg *g;

		if (l)
			__sync_fetch_and_add(&l->budget_ns, -(__s64)ns);
		g = bpf_map_lookup_elem(&cgroups, &id);
		if (!g || !g->parent)
			break;
		id = g->parent;
	}
	return 0;
}

#define NO_QUOTA (~0ULL) /* the kernel's word for it, in µs */

static __always_inline void refill_soon(void); /* guard.bpf.h */

static __always_inline void set_limit(__u64 id, __u64 period_us, __u64 quota_us, __u64 burst_us)
{
	struct limit l = {
		.quota_ns = quota_us * NSEC_PER_USEC,
		.period_ns = period_us * NSEC_PER_USEC,
		.burst_ns = burst_us * NSEC_PER_USEC,
		.budget_ns = quota_us * NSEC_PER_USEC,
		.began_ns = bpf_ktime_get_ns(),
	};

	if (quota_us >= NO_QUOTA / NSEC_PER_USEC || !period_us) {
		bpf_map_delete_elem(&limits, &id);
		return;
	}
	if (!bpf_map_update_elem(&limits, &id, &l, BPF_ANY) && !__sync_fetch_and_add(&limited, 1))
		refill_soon();
}

SEC("struct_ops.s/cgroup_init")
__s32 BPF_PROG(scx_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	__u64 id = BPF_CORE_READ(cgrp, kn, id);
	struct cg g = {.weight = args->weight};
	int level = cgrp->level;

	if (level > 0)
		g.parent = ancestor_id(cgrp, level - 1);
	else
		root_cgroup = id;
	/* One that is not known is not weighed or limited; that is no reason not to have it. */
	if (bpf_map_update_elem(&cgroups, &id, &g, BPF_ANY))
		count(LOST_CGROUPS);
	if (bpf_core_field_exists(args->bw_quota_us))
		set_limit(id, args->bw_period_us, args->bw_quota_us, args->bw_burst_us);
	return 0;
}

SEC("struct_ops.s/cgroup_exit")
void BPF_PROG(scx_cgroup_exit, struct cgroup *cgrp)
{
	__u64 id = BPF_CORE_READ(cgrp, kn, id);

	bpf_map_delete_elem(&cgroups, &id);
	bpf_map_delete_elem(&limits, &id);
	bpf_map_delete_elem(&functions, &id);
}

SEC("struct_ops/cgroup_set_weight")
void BPF_PROG(scx_cgroup_set_weight, struct cgroup *cgrp, __u32 weight)
{
	__u64 id = BPF_CORE_READ(cgrp, kn, id);
	struct cg *g = bpf_map_lookup_elem(&cgroups, &id), *parent;

	if (!g)
		return;
	parent = bpf_map_lookup_elem(&cgroups, &g->parent);
	if (parent && g->active > 0)
		__sync_fetch_and_add(&parent->sum, (__s64)weight - (__s64)g->weight);
	g->weight = weight;
}

/* From 6.17 on; before, user space writes limits. */
SEC("struct_ops/cgroup_set_bandwidth")
void BPF_PROG(scx_cgroup_set_bandwidth, struct cgroup *cgrp, __u64 period_us, __u64 quota_us, __u64 burst_us)
{
	set_limit(BPF_CORE_READ(cgrp, kn, id), period_us, quota_us, burst_us);
}
