//go:build !ringhook

package shmconn

import (
	"sync"
	"sync/atomic"
)

// mutex and flags are what the goroutines of a connection meet at, apart from
// the bell. They have names of their own for a test that decides the order of
// all accesses: see words_hook.go.
type (
	mutex = sync.Mutex
	flags = atomic.Uint32
)
