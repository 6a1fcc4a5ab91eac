package main

import (
	"io/fs"
	"os"
	"syscall"
)

// setSocketMode gives a socket the permissions, less the umask, that bind(2) will create its file
// with.
func setSocketMode(raw syscall.RawConn, mode fs.FileMode) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("fchmod", syscall.Fchmod(int(fd), uint32(mode)))
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
