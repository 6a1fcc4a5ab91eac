//go:build !linux

package fdpass

import (
	"errors"
	"fmt"
	"net"
	"runtime"
)

var errUnsupported = fmt.Errorf("fdpass: not on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func closeAll([]int) {}

func send(*net.UnixConn, []byte, []int) error { return errUnsupported }

func receive(*net.UnixConn, []byte, int, func([]int)) ([]int, error) { return nil, errUnsupported }
