//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far the measurement is: a bar where a person watches, a
// line at the start otherwise.
type progress struct {
	bar *progressbar.ProgressBar // nil without one
}

func newProgress(w io.Writer, slices int, estimate time.Duration) *progress {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		fmt.Fprintf(w, "measuring for about %s\n", estimate.Round(time.Second))
		return &progress{}
	}
	return &progress{progressbar.NewOptions(slices,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionClearOnFinish(),
		// Drawing takes processor time from what is measured.
		progressbar.OptionThrottle(200*time.Millisecond),
	)}
}

// isTerminal reports whether f is one. It keeps f's descriptor in the state
// that it is in, as os.File.Fd does not.
func isTerminal(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var is bool
	return raw.Control(func(fd uintptr) { is = term.IsTerminal(int(fd)) }) == nil && is
}

// step is called before each slice.
func (p *progress) step(what string) {
	if p.bar == nil {
		return
	}
	p.bar.Describe(fmt.Sprintf("%-32s", what))
	// An error of the terminal is no reason to stop measuring.
	_ = p.bar.Add(1)
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
