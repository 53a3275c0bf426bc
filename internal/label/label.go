// SPDX-License-Identifier: Apache-2.0

// Package label names the labels by which platforms mark a function's container
// and schedulers find it.
package label

// Labels of a function's container. Their values are text.
const (
	UID         = "alps.function.uid"         // by which a function is told from others; needed
	Name        = "alps.function.name"        // for people
	Source      = "alps.function.source"      // what an invocation is: process, busy or auto (docs/observer.md)
	Concurrency = "alps.function.concurrency" // requests that the container serves at a time; 1 without it
	Idle        = "alps.function.idle"        // the sleep that ends a busy period, such as 5ms; 1ms without it
)
