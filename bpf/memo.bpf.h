/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last answers of steady. Most questions find nothing changed since they were
 * asked before: the functions that wait are asked anew whenever somebody's answer
 * changes, and who runs is asked at each tick. So a CPU remembers of each function
 * the last answer of each hook, what it depended on, and up to which CPU time
 * used the invocation that counted has the same answer. It is all written under the
 * lock of that CPU's runqueue.
 */

#define MEMOS 128 /* functions of a CPU: a power of two */

/* The loader sets it in tests: what is remembered is compared with what is not. */
const volatile __u32 check_memos = 0;

enum memo_check { MEMO_USED, MEMO_WRONG, MEMO_CHECKS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MEMO_CHECKS);
	__type(key, __u32);
	__type(value, __u64);
} memo_checks SEC(".maps");

/* An answer, and what it depended on. */
struct last {
	__u64 next;	/* address of the entity that CFS runs next, or of its node if it waits in the tree */
	__u64 begun;	/* sum_exec_runtime when the slice of the task that has one began */
	__u64 queue_ns; /* when anything changed in the queue, while next waits; 0: it runs */
	__u64 sum_ns;	/* CPU time of next at that time */
	__u64 others_ns; /* CPU time of its invocation's other tasks */
	__u64 used_ns;	/* by its invocation */
	__u64 woken_ns; /* the least index of who was woken, where that counts */
	__u64 span_ns;	/* it is the answer until the invocation has used so much more */
	__u32 changes;	/* of the function on this CPU */
	__u32 fresh;	/* somebody waits who never ran */
	__u32 known;	/* next is of an invocation */
	__u32 alone;	/* nobody else waits or runs: none who was woken counts beside next */
	__u32 waiting;	/* how many entities the queue has, at queue_ns */
	__s32 answer;
};

/* What is kept of the task that CFS ran next. */
struct remembered {
	__u64 se; /* its address; 0: nothing is known */
	__u64 others_ns;
	__u32 changes;
	__u16 known;
	__u16 ran;
};

/* The least index of who waits in a queue and was woken. */
struct woken {
	__u64 queue; /* its address; 0: nothing is known */
	__u64 nodes[NODES]; /* addresses of those that count */
	__u64 index;
	__u32 changes;
	__u32 fresh;
	__u32 fleeting; /* index may change at any time */
	__u32 pad;
};

struct memo {
	__u64 cgroup_id;
	__u64 version; /* of policy and functions */
	__u64 group;   /* address of its entity */
	__u64 guard_wait_ns;
	__u64 guard_every_ns;
	__u32 guard_slice_us;
	__u32 group_slice_us;
	__u32 at; /* in function_cpus */
	__u32 pad;
	struct last bias, slice;
	struct woken woken;
	struct remembered next;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MEMOS); /* times cpus: the loader */
	__type(key, __u32);
	__type(value, struct memo);
} memos SEC(".maps");

static __always_inline __u64 version_of(struct control *c)
{
	return c->generation + c->functions; /* neither ever falls */
}

static __always_inline __u32 memo_index(__u64 cgroup_id, __u32 cpu)
{
	return cpu * MEMOS + (cgroup_id & (MEMOS - 1));
}

static __always_inline struct memo *memo_on(__u64 cgroup_id, __u32 cpu)
{
	__u32 at = memo_index(cgroup_id, cpu);

	return bpf_map_lookup_elem(&memos, &at);
}

static __always_inline bool is_of(struct memo *m, struct control *c, __u64 cgroup_id)
{
	return m->cgroup_id == cgroup_id && m->version == version_of(c);
}

static __always_inline struct function_cpu *function_of(struct memo *m)
{
	__u32 at = m->at;

	return bpf_map_lookup_elem(&function_cpus, &at);
}

static __always_inline void forget_memo(struct memo *m)
{
	m->bias.next = m->slice.next = 0;
	m->woken.queue = m->next.se = 0;
	m->cgroup_id = 0;
}

/* @p runs, on @cpu, which was woken: it counts no more among those that wait. */
static __always_inline void woken_runs(struct task_struct *p, struct task *t, __u32 cpu)
{
	__u32 of = t->slot * cpus + cpu, at;
	struct function_cpu *f = bpf_map_lookup_elem(&function_cpus, &of);
	struct rb_node *node = &p->se.run_node;
	struct memo *m;
	struct woken *w;

	if (!f || !f->memo)
		return;
	at = f->memo - 1;
	m = bpf_map_lookup_elem(&memos, &at);
	if (!m || m->at != of)
		return; /* another function's by now */
	w = &m->woken;
	if (w->nodes[0] == (__u64)node || w->nodes[1] == (__u64)node || w->nodes[2] == (__u64)node ||
	    w->nodes[3] == (__u64)node || w->nodes[4] == (__u64)node || w->nodes[5] == (__u64)node ||
	    w->nodes[6] == (__u64)node)
		w->queue = 0;
}

/* The memo on @cpu of a function, group entity @group: emptied if it was another's. */
static __always_inline struct memo *begin_memo(struct control *c, struct steady *s, __u64 cgroup_id,
					       struct sched_entity *group, struct function_cpu *f,
					       __u32 slot, __u32 cpu)
{
	struct memo *m = memo_on(cgroup_id, cpu);

	if (!m || (is_of(m, c, cgroup_id) && m->group == (__u64)group))
		return m;
	forget_memo(m);
	m->cgroup_id = cgroup_id;
	m->version = version_of(c);
	m->group = (__u64)group;
	m->guard_wait_ns = s->guard_wait_ns;
	m->guard_every_ns = s->guard_every_ns;
	m->guard_slice_us = s->guard_slice_us;
	m->group_slice_us = s->group_slice_us;
	m->at = slot * cpus + cpu;
	f->memo = 1 + memo_index(cgroup_id, cpu);
	return m;
}

/* The account of task @n. */
static __always_inline void recall_account(struct memo *m, struct function_cpu *f, struct next *n, struct account *a)
{
	struct remembered *r = &m->next;

	if (r->se == (__u64)n->se && r->changes == f->changes) {
		a->sum_ns = n->sum_ns;
		a->known = r->known;
		a->ran = r->ran;
		a->used_ns = r->known ? n->sum_ns + r->others_ns : 0;
		return;
	}
	account_of(n->se, n->sum_ns, a);
	r->se = (__u64)n->se;
	r->others_ns = a->used_ns - a->sum_ns;
	r->changes = f->changes;
	r->known = a->known;
	r->ran = a->ran;
}

/* Those who wait in @q and count are the same, and nothing is new of them. */
static __always_inline bool same_woken(struct woken *w, struct function_cpu *f, struct cfs_rq *q)
{
	struct rb_node *n[NODES];

	if (w->queue != (__u64)q || w->changes != f->changes || w->fresh != (f->never_ran > 0))
		return false;
	if (!nodes_of(q, n))
		return !w->nodes[0];
	return w->nodes[0] == (__u64)n[0] && w->nodes[1] == (__u64)n[1] && w->nodes[2] == (__u64)n[2] &&
	       w->nodes[3] == (__u64)n[3] && w->nodes[4] == (__u64)n[4] && w->nodes[5] == (__u64)n[5] &&
	       w->nodes[6] == (__u64)n[6];
}

/*
 * The least index of those that wait in @q and should not wait for the end of
 * another's quantum: of an invocation that never ran, and of whoever was woken.
 */
static __always_inline __u64 index_of_woken(struct steady *s, struct memo *m, struct function_cpu *f, struct cfs_rq *q)
{
	struct woken *w = &m->woken;
	struct rb_node *n[NODES];
	__u64 index = NOBODY;

	if (same_woken(w, f, q))
		return w->index;
	w->queue = (__u64)q;
	w->changes = f->changes;
	w->fresh = f->never_ran > 0;
	if (w->fresh)
		index = index_of(s, 0);
	w->nodes[0] = w->fleeting = 0;
	if (nodes_of(q, n)) {
		w->nodes[0] = (__u64)n[0];
		w->nodes[1] = (__u64)n[1];
		w->nodes[2] = (__u64)n[2];
		w->nodes[3] = (__u64)n[3];
		w->nodes[4] = (__u64)n[4];
		w->nodes[5] = (__u64)n[5];
		w->nodes[6] = (__u64)n[6];
		for (int i = 0; i < NODES; i++) {
			__u64 woken = w->nodes[i] ? index_if_woken(s, (void *)w->nodes[i]) : NOBODY;

			if (woken == NOBODY)
				continue;
			if (woken & STRANGER)
				w->queue = 0; /* to be looked at again */
			if (woken & FLEETING)
				w->fleeting = 1;
			woken &= ~(STRANGER | FLEETING);
			if (woken < index)
				index = woken;
		}
	}
	w->index = index;
	return index;
}

/* The invocation is where the answer holds, if its task has used @sum. */
static __always_inline bool in_span(struct last *l, __u64 sum)
{
	__u64 used = l->known ? sum + l->others_ns : 0;

	return used - l->used_ns < l->span_ns;
}

/* @l is what to answer for the order of a group with queue @q. */
static __always_inline bool bias_holds(struct memo *m, struct cfs_rq *q)
{
	struct function_cpu *f = function_of(m);
	struct last *l = &m->bias;
	struct sched_entity *next;
	struct task_struct *curr;
	struct rb_node *left;

	if (!l->next || !f || l->changes != f->changes || l->fresh != (f->never_ran > 0))
		return false;
	next = q->curr;
	if (!next)
		next = q->alps_held;
	if (next)
		return l->next == (__u64)next && same_woken(&m->woken, f, q) &&
		       l->woken_ns == m->woken.index && in_span(l, next->sum_exec_runtime);
	left = q->tasks_timeline.rb_leftmost;
	if (l->next != (__u64)left)
		return false;
	if (l->queue_ns && l->queue_ns == q->avg.last_update_time && l->waiting == q->nr_running)
		return true;
	if (l->alone != is_alone(q) ||
	    (!l->alone && (!same_woken(&m->woken, f, q) || l->woken_ns != m->woken.index)))
		return false;
	curr = q->rq->curr;
	if (left == &curr->se.run_node)
		return in_span(l, curr->se.sum_exec_runtime);
	l->sum_ns = BPF_CORE_READ(entity_of(left), sum_exec_runtime);
	if (!in_span(l, l->sum_ns))
		return false;
	l->queue_ns = q->avg.last_update_time;
	l->waiting = q->nr_running;
	return true;
}

/* And for the slice of task @se. */
static __always_inline bool slice_holds(struct memo *m, struct sched_entity *se)
{
	struct function_cpu *f = function_of(m);
	struct last *l = &m->slice;

	return l->next == (__u64)se && l->begun == se->alps_begun && f && l->changes == f->changes &&
	       l->fresh == (f->never_ran > 0) && same_woken(&m->woken, f, se->cfs_rq) &&
	       l->woken_ns == m->woken.index && in_span(l, se->sum_exec_runtime);
}

/* What @l is, and depends on, but for who CFS runs next. */
static __always_inline void learn(struct last *l, struct function_cpu *f, struct account *a, __u64 woken_ns,
				  int answer)
{
	l->answer = answer;
	l->woken_ns = woken_ns;
	l->others_ns = a->used_ns - a->sum_ns;
	l->used_ns = a->used_ns;
	l->known = a->known;
	l->changes = f->changes;
	l->fresh = f->never_ran > 0;
}

/* In a function with queue @q CFS runs @n next. */
static __always_inline void learn_next(struct last *l, struct cfs_rq *q, struct next *n)
{
	struct rb_node *left = q->tasks_timeline.rb_leftmost;

	l->queue_ns = 0;
	if (!n->first) {
		l->next = (__u64)n->se;
		return;
	}
	if (left != &q->rq->curr->se.run_node) {
		l->queue_ns = q->avg.last_update_time;
		l->waiting = q->nr_running;
		l->sum_ns = n->sum_ns;
	}
	l->next = (__u64)left;
}

/* The answer for the order of the group @se, if it is known from before. */
static __always_inline bool recall_bias(struct control *c, __u64 cgroup_id, struct sched_entity *se, int *answer)
{
	__u32 cpu = se->cfs_rq->rq->cpu;
	struct memo *m = memo_on(cgroup_id, cpu);
	struct guard *g = bpf_map_lookup_elem(&guards, &cpu);

	if (!m || !g || !is_of(m, c, cgroup_id) || m->group != (__u64)se)
		return false;
	*answer = MIN_BIAS_US;
	if (is_guarded(g, m->guard_wait_ns, m->guard_every_ns, se))
		return true;
	*answer = m->bias.answer;
	return bias_holds(m, se->my_q);
}

/* And for the slice of @se, the group or a task in it. */
static __always_inline bool recall_slice(struct control *c, __u64 cgroup_id, struct sched_entity *se, int *answer)
{
	__u32 cpu = se->cfs_rq->rq->cpu;
	struct memo *m = memo_on(cgroup_id, cpu);

	if (!m || !is_of(m, c, cgroup_id))
		return false;
	if (m->group == (__u64)se) {
		*answer = group_slice(bpf_map_lookup_elem(&guards, &cpu), se, m->group_slice_us, m->guard_slice_us);
		return true;
	}
	*answer = m->slice.answer;
	return slice_holds(m, se);
}

/* What may change while an answer is checked. */
static __always_inline __u64 state_of(struct control *c, __u64 cgroup_id, struct sched_entity *se)
{
	struct memo *m = memo_on(cgroup_id, se->cfs_rq->rq->cpu);
	struct function_cpu *f = m ? function_of(m) : NULL;

	return (version_of(c) << 32) + (f ? f->changes : 0);
}

/* @answer was remembered; @again is what the rules say, and @same that nothing changed meanwhile. */
static __always_inline void check_memo(int answer, int again, bool same)
{
	__u32 used = MEMO_USED, wrong = MEMO_WRONG;
	__u64 *n = bpf_map_lookup_elem(&memo_checks, &used);

	if (n)
		__sync_fetch_and_add(n, 1);
	n = bpf_map_lookup_elem(&memo_checks, &wrong);
	if (n && same && answer != again)
		__sync_fetch_and_add(n, 1);
}
