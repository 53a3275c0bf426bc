/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which invocation a task belongs to, and what that is worth.
 *
 * A process forked in a function's cgroup by one of the same function is an
 * invocation; its threads and descendants share its account. The function's own
 * process, which comes from outside, is its server: the account begins anew
 * whenever it wakes after all its threads slept, with a busy period. So is an
 * invocation from when it has lived for server_age_ns and slept server_sleeps
 * times: a server that another process in the cgroup has started, or its worker.
 */
#define MAX_FUNCTIONS	1024
#define MAX_INVOCATIONS 32768
#define MAX_STEPS	16
#define SLOPE_BITS	20
#define LEAST_SLICE	NSEC_PER_MSEC
#define UNKNOWN_SLICE	(10 * NSEC_PER_MSEC)
#define LONGEST_SLICE	(10 * NSEC_PER_MSEC) /* by steps: with a key for a whole quantum a burst is served by arrival */
#define LEAST_INDEX	(100 * NSEC_PER_USEC)
#define BEYOND_QUANTUM	(4 * NSEC_PER_MSEC)
#define SERVER_GRACE	(2 * NSEC_PER_MSEC) /* for so long a thread of a server goes first, whenever it wakes */

/* From from_ns of CPU time on; package policy's Step. */
struct step {
	__u64 from_ns;
	__u64 index_ns;
	__u64 end_ns; /* of the quantum */
	__s64 slope;  /* of the index, in 1/2^SLOPE_BITS */
};

/* What is wanted of a function. */
struct rule {
	__u64 generation; /* counts if it is policy's */
	__u64 seen_ns;	  /* CPU time that no record outlived */
	__u64 bias_ns;	  /* without steps: that of every invocation */
	__u64 slice_ns;	  /* and the CPU time between two looks */
	__u64 late_bias_ns; /* if not 0, of those that have used slice_ns: SFS */
	__u32 steps;
	__u32 pad;
	struct step step[MAX_STEPS];
};

/* Two halves, of the even and of the odd generations. Slot 0 is of functions nothing is known of. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * MAX_FUNCTIONS);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

/* User space's words. */
__u64 policy;	     /* generation of the rules that count; 0: none */
__u64 half_octave_ns; /* bias for each factor of √2 in the index above floor_ns */
__u64 floor_ns;
__u64 most_bias_ns;

/* A cgroup whose processes are a function's, by its slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * MAX_FUNCTIONS);
	__type(key, __u64);
	__type(value, __u32);
} functions SEC(".maps");

__u64 functions_epoch; /* user space raises it when they change */

struct invocation {
	__u64 arrived_ns;
	__u64 used_ns;
	__u64 key;	/* of its time slice */
	__u64 until_ns; /* CPU time used at which the time slice ends; 0: it has none */
	__s64 granted_ns; /* what is left of the CPU time that the guard gave it */
	__u64 granted_until_ns; /* when that is too late to use */
	__u32 slot;
	__s32 tasks;
	__s32 runnable; /* tasks that do not sleep: can run, or wait for a disk */
	__u32 server; /* not an invocation: each busy period has a new account */
	__u32 sleeps; /* times all of it slept */
	__u32 forks; /* a server whose children are invocations */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_INVOCATIONS);
	__type(key, __u64);
	__type(value, struct invocation);
} invocations SEC(".maps");

__u64 invocations_begun;

/* When an invocation is a server. Set before loading. */
const volatile __u64 server_age_ns = 60000 * NSEC_PER_MSEC;
const volatile __u32 server_sleeps = 60;

struct task {
	__u64 invocation; /* key in invocations; 0: it is no function's */
	__u64 cgroup;	  /* in which it was looked for */
	__u64 epoch;	  /* functions_epoch then */
	__u64 exec_ns;	  /* CPU time that is accounted */
	__u64 burst_ns;	  /* and what of it was used since it woke */
	__u64 waits_ns;	  /* since when it waits; 0: it does not */
	__u64 vtime;	  /* of one that is no function's */
	__u64 weighed;	  /* cgroup in which it counts as runnable; 0: it does not */
	__u32 weight;
	__u32 slot;
	__u32 function;
	__u32 counted; /* its class, from 1, while it is runnable; 0: it is not */
	__u32 awake;   /* counts in its invocation's runnable */
	__u32 parked;  /* waits for its cgroup's quota */
	__u32 rescued; /* runs next for a tick only */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task);
} tasks SEC(".maps");

static __always_inline struct task *task_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline struct invocation *invocation_of(struct task *t)
{
	return t->invocation ? bpf_map_lookup_elem(&invocations, &t->invocation) : NULL;
}

/* Does it go first because it is the oldest? Whichever of its tasks runs, the CPU time is of one account. */
static __always_inline bool granted(struct invocation *v, __u64 now)
{
	return v && v->granted_ns > 0 && now < v->granted_until_ns;
}

/* The function that a task of the cgroup at @address serves: the nearest ancestor that is one. */
__noinline int function_at(__u64 address, __u32 *slot)
{
	struct cgroup *cgrp = (void *)address;
	int level = BPF_CORE_READ(cgrp, level);

	if (!slot)
		return 0;
	for (int i = 0; i < MAX_DEPTH && level > 0; i++, level--) {
		__u64 id = ancestor_id(cgrp, level);
		__u32 *found = bpf_map_lookup_elem(&functions, &id);

		if (found) {
			*slot = *found;
			return 1;
		}
	}
	return 0;
}

static __always_inline void drop_invocation(struct task *t)
{
	struct invocation *v = invocation_of(t);
	__u64 id = t->invocation;

	t->invocation = 0;
	if (!v)
		return;
	if (t->awake)
		__sync_fetch_and_add(&v->runnable, -1);
	t->awake = 0;
	if (__sync_fetch_and_add(&v->tasks, -1) == 1)
		bpf_map_delete_elem(&invocations, &id);
}

static __always_inline void join_invocation(struct task *t, __u64 id)
{
	struct invocation *v = bpf_map_lookup_elem(&invocations, &id);

	if (!v)
		return;
	__sync_fetch_and_add(&v->tasks, 1);
	t->invocation = id;
}

static __always_inline void begin_invocation(struct task *t, bool server)
{
	struct invocation v = {.arrived_ns = bpf_ktime_get_ns(), .slot = t->slot, .tasks = 1, .server = server};
	__u64 id = __sync_fetch_and_add(&invocations_begun, 1) + 1;

	if (bpf_map_update_elem(&invocations, &id, &v, BPF_ANY))
		count(LOST_INVOCATIONS);
	else
		t->invocation = id;
}

/* @t is the account of the process of @leader, whose function is known: which invocation is it? */
static __always_inline void find_invocation(struct task_struct *leader, struct task *t)
{
	struct task_struct *parent = leader->real_parent;
	__u32 slot = 0;
	bool inside = function_at((__u64)BPF_CORE_READ(parent, cgroups, dfl_cgrp), &slot) && slot == t->slot;
	struct task *from = inside ? bpf_task_storage_get(&tasks, parent, 0, 0) : NULL;
	struct invocation *v = from && from->function ? invocation_of(from) : NULL;

	/* A parent that has not woken since its function became known has an account of another slot. */
	if (v && v->slot == t->slot) {
		if (v->server)
			v->forks = 1;
		else
			join_invocation(t, from->invocation);
	}
	if (!t->invocation)
		begin_invocation(t, !inside);
}

/* Finds out whether @p is a function's and of which invocation, when that may have changed. */
static __always_inline void classify(struct task_struct *p, struct task *t)
{
	struct cgroup *cgrp = BPF_CORE_READ(p, cgroups, dfl_cgrp);
	__u64 id = BPF_CORE_READ(cgrp, kn, id);
	struct task_struct *leader;
	struct task *first;
	bool function, stays;
	__u32 slot = 0;

	if (t->cgroup == id && t->epoch == functions_epoch)
		return;
	function = !(p->flags & PF_KTHREAD) && function_at((__u64)cgrp, &slot);
	stays = t->cgroup == id && function && t->invocation && t->slot == slot;
	t->cgroup = id;
	t->epoch = functions_epoch;
	if (stays) /* only other functions came and went */
		return;
	drop_invocation(t);
	t->function = function;
	t->slot = slot;
	if (!function)
		return;
	if (p->pid == p->tgid) {
		find_invocation(p, t);
		return;
	}
	leader = p->group_leader;
	first = bpf_task_storage_get(&tasks, leader, 0, 0);
	if (first && first->invocation && first->cgroup == id && first->slot == slot)
		join_invocation(t, first->invocation);
	if (!t->invocation) /* the first was not seen yet: as if it were the process */
		find_invocation(leader, t);
}

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) { v >>= 32; r += 32; }
	if (v >> 16) { v >>= 16; r += 16; }
	if (v >> 8) { v >>= 8; r += 8; }
	if (v >> 4) { v >>= 4; r += 4; }
	if (v >> 2) { v >>= 2; r += 2; }
	return r + (v >> 1);
}

/* How much later than its arrival an invocation of this index is sorted: by half octaves above the floor. */
static __always_inline __u64 bias_of(__u64 index)
{
	__u64 times, bias;

	if (index <= floor_ns || !floor_ns)
		return 0;
	times = (index << 8) / floor_ns;
	if (times >= 1ULL << 31)
		times = (1ULL << 31) - 1;
	bias = (log2_of(times * times) - 16) * half_octave_ns;
	return bias < most_bias_ns ? bias : most_bias_ns;
}

static __always_inline struct rule *rule_of(__u32 slot)
{
	__u32 at = (slot & (MAX_FUNCTIONS - 1)) + (policy & 1) * MAX_FUNCTIONS;
	struct rule *r = bpf_map_lookup_elem(&rules, &at);

	return r && policy && r->generation == policy ? r : NULL;
}

struct worth {
	__u64 bias_ns;
	__u64 until_ns; /* CPU time used when it is weighed anew */
	bool stepped;	/* by steps: until_ns is the end of a quantum */
};

/* What an invocation of the function at @slot is worth that has used so much. */
__noinline int weigh(__u32 slot, __u64 used, struct worth *w)
{
	struct rule *r;
	__u64 index;
	__u32 at = 0;

	if (!w)
		return 0;
	r = rule_of(slot);
	if (!r)
		r = rule_of(0);
	if (!r) {
		w->bias_ns = 0;
		w->until_ns = used + UNKNOWN_SLICE;
		return 0;
	}
	if (!r->steps) {
		__u64 bias = r->bias_ns, slice = r->slice_ns ?: UNKNOWN_SLICE;

		w->until_ns = used + slice;
		if (r->late_bias_ns && used < slice) {
			w->until_ns = slice;
		} else if (r->late_bias_ns) {
			bias = r->late_bias_ns;
			w->until_ns = used + UNKNOWN_SLICE;
		}
		w->bias_ns = bias < most_bias_ns ? bias : most_bias_ns;
		return 0;
	}
	w->stepped = true;
	if (used >= r->seen_ns) {
		w->bias_ns = bias_of(used > LEAST_INDEX ? used : LEAST_INDEX);
		w->until_ns = 2 * used + BEYOND_QUANTUM;
		return 0;
	}
	for (__u32 half = MAX_STEPS / 2; half; half /= 2) {
		__u32 next = at + half;

		if (next < r->steps && next < MAX_STEPS && r->step[next].from_ns <= used)
			at = next;
	}
	at &= MAX_STEPS - 1;
	index = r->step[at].index_ns + (((__s64)(used - r->step[at].from_ns) * r->step[at].slope) >> SLOPE_BITS);
	if ((__s64)index < (__s64)LEAST_INDEX)
		index = LEAST_INDEX;
	w->bias_ns = bias_of(index);
	w->until_ns = r->step[at].end_ns;
	return 0;
}

/* Does @t of @v go first because it is at the begin of a burst? Others may wait for it, and a lock that it waited for. */
static __always_inline bool begins_burst(struct task *t, struct invocation *v)
{
	return v && v->server && t->burst_ns < SERVER_GRACE;
}

/*
 * A time slice begins: what is it worth now? What a server uses that forks for each request is no invocation's, but the
 * next one waits for it: it is worth as much as that one.
 */
static __always_inline void begin_slice(struct invocation *v, __u64 now)
{
	__u64 used = v->forks ? 0 : v->used_ns;
	struct worth w = {};

	weigh(v->slot, used, &w);
	w.until_ns += v->used_ns - used;
	v->key = now + w.bias_ns;
	if (w.stepped && w.until_ns > v->used_ns + LONGEST_SLICE)
		w.until_ns = v->used_ns + LONGEST_SLICE;
	v->until_ns = w.until_ns > v->used_ns + LEAST_SLICE ? w.until_ns : v->used_ns + LEAST_SLICE;
}

static __always_inline bool dying(struct task_struct *p)
{
	return BPF_CORE_READ(p, signal, flags) & SIGNAL_GROUP_EXIT;
}

/* By what @p, of @v, is sorted among the functions' tasks: the key of its invocation's time slice, which is begun if there is none. */
static __always_inline __u64 key_of(struct task_struct *p, struct task *t, struct invocation *v, __u64 now)
{
	if (!v || dying(p) || begins_burst(t, v)) /* whoever must end goes first: to die it needs the CPU */
		return now;
	if (v->used_ns >= v->until_ns)
		begin_slice(v, now);
	return v->key;
}
