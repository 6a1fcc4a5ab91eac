package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when this process dies, also by SIGKILL and also if
// the child no longer watches its standard input. The kernel ties the signal to the thread that
// forks (prctl(2), PR_SET_PDEATHSIG). Go ends a thread before the process only if a goroutine that
// is locked to it returns, and this program locks none.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
