//go:build guest

package main

func simCommands() []command { return nil }
