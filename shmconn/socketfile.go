package shmconn

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// own takes over from package net the removal of the socket file, which would
// remove whatever is at the path by then, such as a successor's socket.
func (l *Listener) own(inner *net.UnixListener, path string, mode fs.FileMode) error {
	inner.SetUnlinkOnClose(false)
	// The working directory may be another one when the listener is closed.
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	file, err := os.Lstat(path)
	if err != nil {
		return err
	}
	l.path, l.file = path, file
	// The umask has been subtracted. Adding permissions opens no window.
	if supported && file.Mode().Perm() != mode.Perm() {
		return os.Chmod(path, mode)
	}
	return nil
}

// Close stops listening: blocked and future calls of Accept fail with
// net.ErrClosed, handshakes under way are cancelled, connections that wait for
// Accept are closed, those that have been accepted are not affected. It removes
// the socket file if it is still ours.
//
// If the socket was shared by File or SyscallConn, or came from somewhere else
// by NewListener, handshakes under way go on and Accept returns what comes of
// them before it fails, for up to ListenConfig.HandshakeTimeout.
func (l *Listener) Close() error {
	// While the socket is open the kernel keeps its file's inode, whose
	// number cannot be given to another file before the comparison.
	l.remove.Do(func() {
		if l.path == "" || l.keep.Load() {
			return
		}
		if file, err := os.Lstat(l.path); err == nil && os.SameFile(file, l.file) {
			os.Remove(l.path)
		}
	})
	if l.shared.Load() {
		return l.upgraded.Drain()
	}
	return l.upgraded.Close()
}

// listenError gives err the form in which package net returns it.
func listenError(path string, err error) error {
	var already *net.OpError
	if errors.As(err, &already) && already.Op == "listen" {
		return err
	}
	return &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
}
