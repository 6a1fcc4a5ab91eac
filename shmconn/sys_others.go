//go:build !linux

package shmconn

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
)

func closeFD(int) {}

func schedYield() {}

func tryRead(uintptr, []byte) (int, error)     { return 0, errors.ErrUnsupported }
func tryReadBare(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
func tryPeek(uintptr, []byte) (int, error)     { return 0, errors.ErrUnsupported }

func tryReadBareAhead(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func refuseDescriptors(*net.UnixConn) {}
func acceptDescriptors(*net.UnixConn) {}
func inlineOutOfBand(*net.UnixConn)   {}

func closeLater([]int) {}

func closeSocket(sock *net.UnixConn) error { return sock.Close() }

func unblocked(f func()) { f() }

func peerCredentials(*net.UnixConn) (Credentials, error) {
	return Credentials{}, errors.ErrUnsupported
}

// setSocketMode does nothing: the umask alone decides here.
func setSocketMode(syscall.RawConn, fs.FileMode) error { return nil }
