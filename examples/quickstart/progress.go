package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A progress shows a running count of files on one line of standard error while that is a terminal.
type progress struct {
	done atomic.Int64
	stop func() // removes the line; may be called more than once
}

func startProgress(label string) *progress {
	p := &progress{stop: func() {}}
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return p
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	p.stop = sync.OnceFunc(func() { close(quit); <-gone })
	go func() {
		defer close(gone)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		width := 0
		for {
			select {
			case <-tick.C:
				width, _ = fmt.Fprintf(os.Stderr, "\r%s: %d files", label, p.done.Load())
			case <-quit:
				fmt.Fprintf(os.Stderr, "\r%s\r", strings.Repeat(" ", width))
				return
			}
		}
	}()
	return p
}
