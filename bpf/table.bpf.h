/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What steady answers by a function's table and the CPU time that an invocation has
 * used. The rules are those of alps/model, steady.go: a test compares them.
 */

#define STEADY_STEPS  16
#define SLOPE_BITS    20
#define MIN_INDEX_NS  (100 * NSEC_PER_USEC)
#define BEYOND_NS     (4 * 1000 * NSEC_PER_USEC)
#define LEAST_SLICE_US 1000
#define MAX_SLICE_US  (10 * 1000 * 1000)
#define IDLE_NS	      (3600ULL * 1000 * 1000 * NSEC_PER_USEC)
#define MAX_INDEX_NS  ((1ULL << 47) - 1)
#define RATIO_BITS    16
#define HALF_OCTAVE   92682 /* the square root of 2, of 2^RATIO_BITS, rounded up */
#define MIN_BIAS_US   1
#define MAX_BIAS_US   0x7fffffffULL

/* The step of the table for a CPU time that is known of somebody. */
static __always_inline __u32 step_at(struct steady *s, __u64 used)
{
	__u32 i = 0;

#pragma unroll
	for (__u32 half = STEADY_STEPS / 2; half; half /= 2)
		if (s->steps[(i + half) & (STEADY_STEPS - 1)].from_ns <= used)
			i += half;
	return i & (STEADY_STEPS - 1);
}

/* The index of an invocation that has used so much. */
static __always_inline __u64 index_of(struct steady *s, __u64 used)
{
	struct step *step;
	__s64 index;

	if (used >= s->seen_ns)
		return used > s->least_ns ? used : s->least_ns;
	step = &s->steps[step_at(s, used)];
	index = step->index_ns + ((__s64)((used - step->from_ns) * step->slope) >> SLOPE_BITS);
	return index > MIN_INDEX_NS ? index : MIN_INDEX_NS;
}

/* The index of an invocation that begins: index_of(s, 0). */
static __always_inline __u64 index_of_new(struct steady *s)
{
	if (!s->seen_ns)
		return s->least_ns;
	return (__s64)s->steps[0].index_ns > MIN_INDEX_NS ? s->steps[0].index_ns : MIN_INDEX_NS;
}

/* The CPU time used at which the quantum of such an invocation ends. */
static __always_inline __u64 end_of(struct steady *s, __u64 used)
{
	__u64 end;

	if (used >= s->seen_ns)
		return 2 * used + BEYOND_NS;
	end = s->steps[step_at(s, used)].end_ns;
	return end > used ? end : used + 1;
}

/* The ratio of an index to the floor, as a fraction: at least 1. */
static __always_inline __u64 ratio_of(struct steady *s, __u64 index)
{
	if (index <= s->floor_ns)
		return 1ULL << RATIO_BITS;
	if (index > MAX_INDEX_NS)
		index = MAX_INDEX_NS;
	return (index << RATIO_BITS) / (s->floor_ns ?: 1);
}

/* The half octaves from 1 to such a ratio. */
static __always_inline __u32 halves_of(__u64 ratio)
{
	__u64 rest = ratio;
	__u32 log = 0;

	if (rest >> 32) {
		log += 32;
		rest >>= 32;
	}
	if (rest >> 16) {
		log += 16;
		rest >>= 16;
	}
	if (rest >> 8) {
		log += 8;
		rest >>= 8;
	}
	if (rest >> 4) {
		log += 4;
		rest >>= 4;
	}
	if (rest >> 2) {
		log += 2;
		rest >>= 2;
	}
	log += rest >> 1;
	if (log < RATIO_BITS)
		return 0;
	rest = ratio >> (log - RATIO_BITS); /* in [1, 2) */
	return 2 * (log - RATIO_BITS) + (rest >= HALF_OCTAVE);
}

/* By how much a function of that index yields, in half octaves above the floor. */
static __always_inline __u32 steady_bias_us(struct steady *s, __u64 index)
{
	__u64 us = (__u64)halves_of(ratio_of(s, index)) * s->octave_us / 2;

	return us < MIN_BIAS_US ? MIN_BIAS_US : us > MAX_BIAS_US ? MAX_BIAS_US : us;
}

#define NOBODY (~0ULL) /* in place of an index */

/* The least index that is so many half octaves above the floor. */
static __always_inline __u64 index_at(struct steady *s, __u32 halves)
{
	__u64 ratio = (halves & 1 ? HALF_OCTAVE : 1ULL << RATIO_BITS) << (halves / 2 & 63);

	return (ratio * s->floor_ns + (1ULL << RATIO_BITS) - 1) >> RATIO_BITS;
}

/* For so much CPU time what is no invocation, such as a function's server, goes first whenever it wakes. */
#define SERVER_GRACE (2000 * NSEC_PER_USEC)

/* The bias of a function whose next task has that index; @other waits. */
static __always_inline int steady_answer_bias(struct steady *s, __u64 index, __u64 other)
{
	return steady_bias_us(s, other < index ? other : index);
}

/*
 * How long a task with that index keeps the CPU within its function, of which it has had
 * slice_used: to the end of its invocation's quantum. Negative: CFS's own slice, for the
 * sake of who waits and is worth more.
 */
static __always_inline int steady_answer_slice(struct steady *s, __u64 index, __u64 used, __u64 slice_used,
					       bool ran, __u64 other)
{
	__u64 begun, us;

	if (ran && other != NOBODY && steady_bias_us(s, other) < steady_bias_us(s, index))
		return -1;
	begun = used > slice_used ? used - slice_used : 0;
	us = (end_of(s, begun) - begun) / NSEC_PER_USEC;
	return us < LEAST_SLICE_US ? LEAST_SLICE_US : us > MAX_SLICE_US ? MAX_SLICE_US : us;
}

/*
 * For how much more CPU time used the bias is the same of an invocation that has
 * used so much, while @other waits: at least that long. The index is linear within
 * a step, and the bias changes where the index is a multiple of half an octave.
 * (Not static: so the verifier looks at it once, not once for each way there.)
 */
__noinline __u64 span_of(struct steady *s, __u64 used, __u64 other)
{
	__u64 index, least, end = NOBODY, slope = 1ULL << SLOPE_BITS, room;
	bool falls = false;
	__u32 halves;

	if (!s)
		return 1;
	index = index_of(s, used);
	least = other < index ? other : index;
	if (least >= MAX_INDEX_NS)
		return 1;
	halves = halves_of(ratio_of(s, least));
	if (used < s->seen_ns) {
		__u32 i = step_at(s, used);

		end = s->seen_ns;
		if (i + 1 < STEADY_STEPS && s->steps[(i + 1) & (STEADY_STEPS - 1)].from_ns < end)
			end = s->steps[(i + 1) & (STEADY_STEPS - 1)].from_ns;
		falls = s->steps[i].slope < 0;
		slope = falls ? -s->steps[i].slope : s->steps[i].slope;
	} else if (used < s->least_ns) {
		return s->least_ns - used;
	}
	if (falls) {
		room = other < index ? other : halves ? index_at(s, halves) : 0;
		room = index > room ? index - room : 0;
	} else {
		room = other < index ? NOBODY : index_at(s, halves + 1);
		if (room != NOBODY)
			room = room > index + 1 ? room - index - 1 : 0;
	}
	if (slope && room < 1ULL << 50)
		room = (room << (SLOPE_BITS / 2)) / ((slope >> (SLOPE_BITS / 2)) + 1);
	else if (slope && room != NOBODY)
		room = 0;
	else
		room = NOBODY;
	if (end != NOBODY && room > end - used)
		room = end - used;
	return room ?: 1;
}
