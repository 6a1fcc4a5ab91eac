// Package soak defines the flag -soak of all test binaries of the module:
//
//	go test -run Soak -timeout 0 -v ./... -soak 8h
//
// The tests whose names begin with TestSoak look for what happens rarely. They run for a second or
// two each unless the flag says how long. Every package with tests imports this one, so that the
// command works for all packages at once; the flag comes after them, as go test takes what follows
// a flag that it does not know for the tests' arguments.
package soak

import (
	"flag"
	"time"
)

var long = flag.Duration("soak", 0, "how long each of the tests named TestSoak runs, instead of a second or two")

// Time returns how long a test runs that takes short by default.
func Time(short time.Duration) time.Duration {
	if *long > 0 {
		return *long
	}
	return short
}
