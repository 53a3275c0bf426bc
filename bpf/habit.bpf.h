/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is no invocation, such as a function's server: does it use little of a CPU
 * whenever it wakes?
 */

/* A task is judged by its last HABIT_SLEEPS sleeps at least, and twice as many at most. */
#define HABIT_SLEEPS 16

/* What a task that is no invocation had used when it had slept so often, at two moments. */
struct habit {
	__u64 from_ns, from_slept; /* from here on it counts */
	__u64 next_ns, next_slept; /* and from here on, once it has slept HABIT_SLEEPS times more */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* nobody says when such a task ends */
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32); /* pid */
	__type(value, struct habit);
} habits SEC(".maps");

/*
 * Task @pid, which has used @sum and slept @slept times, uses little of a CPU between two
 * sleeps, by its last HABIT_SLEEPS to twice as many: a server may load libraries for seconds
 * before it serves. Until it has slept so often since it was first asked about, all count.
 * (Not static: so the verifier looks at it once, not once for each way there.)
 */
__noinline int uses_little(__u32 pid, __u64 sum, __u64 slept)
{
	struct habit *h = bpf_map_lookup_elem(&habits, &pid);

	if (!h || h->next_slept > slept || h->next_ns > sum) { /* or another task had the pid */
		struct habit first = { .next_ns = sum, .next_slept = slept };

		bpf_map_update_elem(&habits, &pid, &first, BPF_ANY);
		return sum / (slept + 1) < SERVER_GRACE;
	}
	if (slept - h->next_slept >= HABIT_SLEEPS) {
		h->from_ns = h->next_ns;
		h->from_slept = h->next_slept;
		h->next_ns = sum;
		h->next_slept = slept;
	}
	return (sum - h->from_ns) / (slept - h->from_slept + 1) < SERVER_GRACE;
}

/* The same of the task at address @p. */
static __always_inline bool is_brief(void *p, __u64 sum)
{
	unsigned long slept = 0;
	__u32 pid = 0;

	bpf_probe_read_kernel(&slept, sizeof(slept), p + bpf_core_field_offset(struct task_struct, nvcsw));
	bpf_probe_read_kernel(&pid, sizeof(pid), p + bpf_core_field_offset(struct task_struct, pid));
	return uses_little(pid, sum, slept);
}
