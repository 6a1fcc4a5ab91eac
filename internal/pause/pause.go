// Package pause tells the processor that a loop is waiting for another one's
// store, which saves power and leaves execution resources to its sibling.
package pause
