//go:build !linux

package main

import (
	"fmt"
	"os"
)

// Shared memory is what this program measures, and Linux is where it works.
func main() {
	fmt.Fprintln(os.Stderr, "bench: Linux only")
	os.Exit(1)
}
