package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The memory that a server writes for one client: its name, and where it says how many bytes it has
// produced, and consumed of the client's (sections 6 and 8 of docs/PROTOCOL.md).
const (
	serverMemory = "/memfd:shmconn-server"
	headerSize   = 4096
	wordTail     = 0x000
	wordHead     = 0x080
)

// inspect looks for the processes behind the socket.
func inspect(socket string) (*listening, error) {
	sockets, err := socketsAt(socket)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(sockets, func(s unixSocket) bool { return s.listens }) {
		if _, err := os.Stat(socket); err != nil && !strings.HasPrefix(socket, "@") {
			return nil, err
		}
		return nil, fmt.Errorf("nobody listens at %s in this network namespace", socket)
	}
	processes, hidden, err := processesOf(sockets)
	if err != nil {
		return nil, err
	}
	if len(processes) == 0 {
		reason := errors.New("the process that listens is in another PID namespace")
		if hidden {
			reason = fmt.Errorf("the process that listens belongs to another user: %w", os.ErrPermission)
		}
		return nil, fmt.Errorf("%s: %w", socket, reason)
	}
	return &listening{socket, processes}, nil
}

// unixSocket is a line of /proc/net/unix.
type unixSocket struct {
	inode   string
	listens bool
}

// socketsAt returns the sockets that are bound to the path: the listener's, and those of the
// connections that it has accepted, which have its address.
func socketsAt(path string) ([]unixSocket, error) {
	const (
		acceptsConnections = 0x10000 // __SO_ACCEPTCON in include/uapi/linux/net.h
		connected          = "03"    // SS_CONNECTED
	)
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var found []unixSocket
	for line := range strings.Lines(string(text)) {
		// Num: RefCount Protocol Flags Type St Inode Path
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 2)
		if len(f) < 2 {
			continue
		}
		fields := strings.Fields(f[1])
		if len(fields) < 7 {
			continue // unnamed
		}
		name := strings.Join(fields[6:], " ")
		if name != path && name != absolute {
			continue
		}
		flags, err := strconv.ParseUint(fields[2], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/net/unix: %w", err)
		}
		if listens := flags&acceptsConnections != 0; listens || fields[4] == connected {
			found = append(found, unixSocket{fields[5], listens})
		}
	}
	return found, nil
}

// processesOf returns the processes that hold the sockets, and whether there are some that we may not
// look into.
func processesOf(sockets []unixSocket) (found []statProcess, hidden bool, err error) {
	links := make(map[string]unixSocket)
	for _, s := range sockets {
		links["socket:["+s.inode+"]"] = s
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		files, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			hidden = hidden || errors.Is(err, os.ErrPermission)
			continue // or it has ended
		}
		p := statProcess{PID: pid, Shared: []shared{}}
		held := false
		for _, f := range files {
			link, err := os.Readlink(filepath.Join(dir, "fd", f.Name()))
			if err != nil {
				continue
			}
			if s, ok := links[link]; ok {
				held = true
				if s.listens {
					p.Listens = true
				} else {
					p.Connections++
				}
			}
		}
		if !held {
			continue
		}
		if name, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
			p.Name = strings.TrimSpace(string(name))
		}
		if p.Shared, err = sharedOf(dir); err != nil {
			return nil, false, err
		}
		found = append(found, p)
	}
	return found, hidden, nil
}

// sharedOf returns the connections over shared memory that the process has as a server.
func sharedOf(dir string) ([]shared, error) {
	maps, err := os.Open(filepath.Join(dir, "maps"))
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	memory, err := os.Open(filepath.Join(dir, "mem"))
	if err == nil {
		defer memory.Close()
	}
	word := func(at int64) *uint64 {
		var b [8]byte
		if memory == nil {
			return nil // needs the right to trace the process
		}
		if _, err := memory.ReadAt(b[:], at); err != nil {
			return nil
		}
		n := binary.NativeEndian.Uint64(b[:])
		return &n
	}
	found := []shared{}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// address-address perms offset dev inode path
		f := strings.Fields(lines.Text())
		if len(f) < 6 || !strings.HasPrefix(f[5], serverMemory) || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		first, last, _ := strings.Cut(f[0], "-")
		start, err := strconv.ParseUint(first, 16, 63)
		if err != nil {
			return nil, err
		}
		end, err := strconv.ParseUint(last, 16, 63)
		if err != nil {
			return nil, err
		}
		found = append(found, shared{
			RingToClient: int64(end-start) - headerSize,
			Sent:         word(int64(start) + wordTail),
			Received:     word(int64(start) + wordHead),
		})
	}
	return found, nil
}
