// SPDX-License-Identifier: Apache-2.0

// Package sim simulates a machine: cores with runqueues, timer ticks,
// context switches and load balancing, on which invocations compete under one
// of several schedulers.
//
//	invocations ─▶ machine ─▶ selectCore, enqueue, pick, tick ─▶ outcomes
//	                  │              scheduler
//	                  └──────── policy, every period of simulated time
//
// A scheduler is one file and one small interface (scheduler). cfs follows the
// rules of kernel/sched/fair.c of Linux 5.18, eevdf those of 6.12, fifo and rr
// kernel/sched/rt.c. alps, sfs and steady add the two hooks of package kernel to cfs;
// they and scx ask the packages policy and model, as the daemon does.
//
// What is modelled: one process per invocation that computes and never blocks;
// one cgroup per function, with the group entities and shares that follow; the platform;
// a core chosen at fork, balancing when a core idles and now and then; the time
// lost by switching and by refilling caches. What is not: memory, devices,
// interrupts, SMT, frequency. docs/fidelity.md compares it with the paper's plots.
//
// Everything is exact in whole nanoseconds and depends on the configuration
// only: equal input gives equal output, byte for byte.
package sim
