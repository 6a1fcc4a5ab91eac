//go:build !linux

package main

import (
	"io/fs"
	"syscall"
)

// setSocketMode does nothing: only Linux takes the permissions of a socket's file from the socket.
func setSocketMode(syscall.RawConn, fs.FileMode) error { return nil }
