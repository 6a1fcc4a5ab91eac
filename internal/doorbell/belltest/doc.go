// Package belltest does to a doorbell what a hostile peer can do to it, for the
// tests of those who ring one.
package belltest
