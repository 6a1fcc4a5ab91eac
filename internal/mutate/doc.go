// Package mutate puts defects into the code on purpose, one at a time, and
// requires that a test notices each: a check left out, two steps swapped, a
// wake-up dropped. Its tests are all that it has:
//
//	go test -run TestMutations -v -timeout 0 ./internal/mutate -mutate all
//
// names for each mutation the tests that catch it. A mutation that changes
// nothing which anybody could rely on is not listed, but named in a comment
// with the reason.
package mutate
