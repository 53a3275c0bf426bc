// SPDX-License-Identifier: Apache-2.0

// Package label names the labels by which platforms mark a function's container
// and schedulers find it.
package label

// Labels of a function's container. Their values are text.
const (
	UID  = "alps.function.uid"  // by which a function is told from others; needed
	Name = "alps.function.name" // for people
)
