package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain plays the part of a backend in the processes that the program starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-backend" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestShares runs the whole example: every backend is asked, the local ones
// through shared memory and the others not, and no request fails though one of
// them is killed.
func TestShares(t *testing.T) {
	shares, err := run(t.Context(), 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(shares) != 4 {
		t.Fatalf("%d backends, want 4", len(shares))
	}
	for _, s := range shares {
		if s.local && s.shared == 0 || !s.local && s.tcp == 0 {
			t.Errorf("nobody has asked %+v", s)
		}
	}
	var out bytes.Buffer
	if err := report(&out, shares); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A", "here, until it was killed", "on another machine", "all"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
