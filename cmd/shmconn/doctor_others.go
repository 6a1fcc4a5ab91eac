//go:build !linux

package main

import "runtime"

// systemChecks returns all checks but the last.
func systemChecks() []check {
	return []check{{"system", func() finding {
		return finding{bad, runtime.GOOS + " has no sealed memory files", `Use Linux. Network "unix" is a plain unix socket here.`}
	}}}
}
