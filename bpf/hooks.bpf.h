/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy map, and the two programs that answer CFS's hooks from it
 * (docs/kernel.md).
 */

/* A piece of a function's table: for CPU times from from_ns to the next's. */
struct step {
	__u64 from_ns;
	__u64 index_ns; /* there */
	__s64 slope;	/* index per CPU time, in 1 / 2^SLOPE_BITS */
	__u64 end_ns;	/* CPU time used when the quantum ends */
};

/* The policy steady, of one function. */
struct steady {
	__u64 seen_ns;	/* nobody is known to have used more */
	__u64 least_ns; /* the least index of who has */
	__u64 floor_ns; /* up to this index the bias is the least */
	__u64 guard_wait_ns;
	__u64 guard_every_ns;
	__u32 octave_us; /* bias for each doubling of the index */
	__u32 group_slice_us;
	__u32 guard_slice_us;
	__u32 pad;
	struct step steps[16]; /* those that are not used come last, from -1 */
};

/*
 * What the hooks answer for one function. It counts if generation and cgroup
 * are the asked ones: a slot that has another owner now says nothing.
 */
struct entry {
	__u64 cgroup_id;
	__u64 generation;
	__u32 bias_us;	    /* 0: no opinion on the order */
	__u32 slice_us;	    /* 0: CFS's; under SFS of an invocation, not of a function */
	__u32 late_bias_us; /* SFS: without a fresh invocation; 0: not SFS */
	__u32 is_steady;    /* the table that follows counts, and no bias or slice above */
	struct steady steady;
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

#include "steady.bpf.h"

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
 * A function with a process that must end yields to nobody. That changes its own
 * answer only, and the kernel need not ask it before it is queued again. The kernel
 * asks everybody once any answer changes. So each such moment raises the epoch, and
 * everybody else's bias is so many us more: the same for all, so the order stays. It is
 * another answer than at the last tick unless EPOCHS processes must end within one.
 */
#define EPOCHS 1024

static __always_inline int in_epoch(struct control *c, int bias)
{
	if (!bias)
		return 0;
	if (bias > (int)MAX_BIAS_US - EPOCHS)
		bias = (int)MAX_BIAS_US - EPOCHS;
	return bias + (c->epoch & (EPOCHS - 1));
}

static __always_inline int bias_of(__u64 cgroup_id, struct sched_entity *se)
{
	struct control *c = controls();
	bool known = false; /* the answer is remembered */
	struct function *fn;
	struct entry *e;
	int bias, answer;
	__u64 before;

	if (!c)
		return 0;
	if (check_memos && se)
		before = state_of(c, cgroup_id, se);
	if (se && c->steady && c->ending <= 0 && !daemon_is_dead(c))
		known = recall_bias(c, cgroup_id, se, &answer);
	if (known && !check_memos)
		return in_epoch(c, answer);
	e = entry_of(cgroup_id, &fn);
	if (!e || in_a_hurry(fn->ending, fn->ending_until))
		return 0;
	if (e->is_steady)
		bias = se ? steady_bias(c, &e->steady, fn->slot, cgroup_id, se) : MIN_BIAS_US;
	else
		bias = e->late_bias_us && fn->fresh <= 0 ? e->late_bias_us : e->bias_us;
	if (check_memos && known)
		check_memo(answer, bias, before == state_of(c, cgroup_id, se));
	return in_epoch(c, bias);
}

SEC("fmod_ret/alps_hook_bias")
int BPF_PROG(alps_bias, __u64 cgroup_id, struct sched_entity *se)
{
	return bias_of(cgroup_id, se);
}

/* @e has used its slice: from here on it is one of those that yield. */
static __always_inline void demote(struct event *e, struct function *fn)
{
	if (__sync_lock_test_and_set(&e->fresh, 0))
		__sync_fetch_and_add(&fn->fresh, -1);
}

/*
 * SFS: what is left of the slice of the invocation that runs below @se, as a
 * time slice of @se that began earlier.
 */
static __always_inline int sfs_slice(struct entry *e, struct function *fn, struct sched_entity *se)
{
	__u64 limit = (__u64)e->slice_us * NSEC_PER_USEC, used, had;
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
	had = se->sum_exec_runtime - se->alps_begun;
	return (had + limit - used) / NSEC_PER_USEC + 1;
}

/* Without @se there is no answer of SFS and steady. */
static __always_inline int slice_of(__u64 cgroup_id, struct sched_entity *se)
{
	struct control *c = controls();
	bool known = false; /* the answer is remembered */
	struct function *fn;
	struct entry *e;
	int us, answer;
	__u64 before;

	if (!c)
		return 0;
	if (check_memos && se)
		before = state_of(c, cgroup_id, se);
	if (se && c->steady && c->ending <= 0 && !daemon_is_dead(c))
		known = recall_slice(c, cgroup_id, se, &answer);
	if (known && !check_memos)
		return answer;
	e = entry_of(cgroup_id, &fn);
	if (!e)
		return 0;
	/* Who must end elsewhere does not wait for the end of a long slice. */
	if (in_a_hurry(c->ending, c->ending_until) && fn->ending <= 0)
		return -1;
	if (e->is_steady) {
		us = se ? steady_slice(c, &e->steady, fn->slot, cgroup_id, se) : -1;
		if (check_memos && known)
			check_memo(answer, us, before == state_of(c, cgroup_id, se));
		return us;
	}
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
	return bias_of(skb->mark, NULL);
}

/* And alps_slice. */
SEC("tc")
int time_slice(struct __sk_buff *skb)
{
	return slice_of(skb->mark, NULL);
}

/* What steady answers for an invocation of a function, where it can be tested. */
struct steady_question {
	__u64 cgroup_id;
	__u64 used_ns;
	__u64 slice_used_ns;
	__u64 other_ns; /* the least index of who waits and counts; the greatest: nobody */
	__u32 ran;
	__u32 pad;
	__u64 index_ns; /* the answers, from here on */
	__u64 end_ns;
	__u64 span_ns; /* for so much more CPU time the bias is the same */
	__u32 bias_us;
	__s32 slice_us;
};

SEC("syscall")
int ask_steady(struct steady_question *q)
{
	struct function *fn;
	struct entry *e = entry_of(q->cgroup_id, &fn);

	if (!e || !e->is_steady)
		return 0;
	q->index_ns = index_of(&e->steady, q->used_ns);
	q->end_ns = end_of(&e->steady, q->used_ns);
	q->bias_us = steady_answer_bias(&e->steady, q->index_ns, q->other_ns);
	q->span_ns = span_of(&e->steady, q->used_ns, q->other_ns);
	q->slice_us = steady_answer_slice(&e->steady, q->index_ns, q->used_ns, q->slice_used_ns, q->ran, q->other_ns);
	return 1;
}

/* As time_bias and time_slice, but asks nothing: what a run costs by itself, to be subtracted. */
SEC("tc")
int time_nothing(struct __sk_buff *skb)
{
	return skb->mark;
}

