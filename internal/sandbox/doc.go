// Package sandbox has chosen system calls of a process fail, for tests of what
// becomes of it on other kernels, at limits and under other people's policies.
package sandbox
