package shmconn

import (
	"io/fs"
	"os"
	"sync"
	"time"
)

// plainMemory is how long a server is remembered not to offer shared memory.
const plainMemory = time.Minute

// plainServers remembers the socket files whose servers have not greeted, so
// that only the first of many connections waits for a greeting in vain. A
// restarted server has a new file and is tried again.
var plainServers memo

type memo struct {
	mu      sync.Mutex
	entries map[string]memoEntry
}

type memoEntry struct {
	file  fs.FileInfo // nil for an abstract address
	until time.Time
}

func (m *memo) add(path string) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = make(map[string]memoEntry)
	}
	for p, e := range m.entries { // keeps the memory of many paths from growing for ever
		if now.After(e.until) {
			delete(m.entries, p)
		}
	}
	m.entries[path] = memoEntry{stat(path), now.Add(plainMemory)}
}

func (m *memo) has(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[path]
	if !ok || time.Now().After(e.until) {
		return false
	}
	file := stat(path)
	if e.file == nil || file == nil {
		return e.file == nil && file == nil
	}
	return os.SameFile(e.file, file) && e.file.ModTime().Equal(file.ModTime())
}

func stat(path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}
