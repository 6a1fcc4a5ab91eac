//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "dbus: shared queues need Linux")
	os.Exit(1)
}
