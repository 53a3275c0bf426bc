/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The other tasks, which are fair among themselves by weight.
 */

#define WAKES_BEHIND (1 * NSEC_PER_MSEC) /* of virtual time: as much as CFS's granularity at a wake-up has on one CPU */

/* A task's own part of the CPUs, by its weight and its cgroups'. */
static __always_inline __u64 share_of(struct task *t, __u64 now)
{
	struct cg *g = bpf_map_lookup_elem(&cgroups, &t->weighed);
	__u64 share = part_of(t->weighed, now);

	if (g && g->sum > t->weight)
		share = share * t->weight / (__u64)g->sum;
	return share > LEAST_SHARE ? share : LEAST_SHARE;
}

static __always_inline __u64 reached_on(__s32 cpu)
{
	struct cpu *c = cpu_at(cpu);

	return c ? c->reached : 0;
}

/*
 * The other tasks of a CPU are fair among themselves. What other CPUs' tasks have reached does not count: that of one
 * which has a CPU to itself is far ahead of those that share one. So a task's virtual time is near that of its CPU: it
 * has not slept for longer than most_lag_ns, and has used no more than time slices that a late tick ends.
 */
static __always_inline void stay_near(struct task *t, __u64 reached, __u64 now)
{
	__u64 ahead = 3 * other_slice_ns * WHOLE / share_of(t, now);

	if (before(t->vtime, reached - most_lag_ns))
		t->vtime = reached - most_lag_ns;
	if (before(reached + ahead, t->vtime))
		t->vtime = reached + ahead;
}

/* @t, another task, runs on @c from now on. */
static __always_inline void reach(struct cpu *c, struct task *t)
{
	if (before(t->vtime, c->reached - most_lag_ns)) /* it comes from another CPU */
		t->vtime = c->reached - most_lag_ns;
	if (before(c->reached, t->vtime))
		c->reached = t->vtime;
}

/*
 * The kernel's threads, and tasks that have one CPU only and have not used more
 * than their share of it, run when they wake up. Afterwards they queue.
 */
static __always_inline bool at_once(struct task_struct *p, struct task *t)
{
	return p->flags & PF_KTHREAD ||
	       (p->nr_cpus_allowed == 1 && !t->function && !before(reached_on(scx_bpf_task_cpu(p)), t->vtime));
}

/* Does @t, another task that woke, take @cpu from the other task that runs there? That one has had so much more. */
static __always_inline bool goes_before_other(struct task *t, __s32 cpu)
{
	struct cpu *c = cpu_at(cpu);

	return c && c->class == OTHER + 1 && before(t->vtime + WAKES_BEHIND, c->reached);
}
