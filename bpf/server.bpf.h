/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is no invocation, such as a function's server: how much of a CPU has it used since
 * it woke?
 */

/* A task that is no invocation, and its CPU time when it had slept so often. */
struct server {
	__u64 slept;
	__u64 from_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* nobody says when such a task ends */
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32); /* pid */
	__type(value, struct server);
} servers SEC(".maps");

/*
 * Task @pid, which has used @sum and slept @slept times, is at the begin of a burst, which begins
 * when it is first asked about after it has slept.
 * (Not static: so the verifier looks at it once, not once for each way there.)
 */
__noinline int begins_burst(__u32 pid, __u64 sum, __u64 slept)
{
	struct server *v = bpf_map_lookup_elem(&servers, &pid);

	if (!v || v->slept != slept || v->from_ns > sum) { /* or another task had the pid */
		struct server woken = { .slept = slept, .from_ns = sum };

		bpf_map_update_elem(&servers, &pid, &woken, BPF_ANY);
		return 1;
	}
	return sum - v->from_ns < SERVER_GRACE;
}

/* The same of the task at address @p. */
static __always_inline bool at_begin(void *p, __u64 sum)
{
	unsigned long slept = 0;
	__u32 pid = 0;

	bpf_probe_read_kernel(&slept, sizeof(slept), p + bpf_core_field_offset(struct task_struct, nvcsw));
	bpf_probe_read_kernel(&pid, sizeof(pid), p + bpf_core_field_offset(struct task_struct, pid));
	return begins_burst(pid, sum, slept);
}
