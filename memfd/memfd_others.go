//go:build !linux

package memfd

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

var errUnsupported = fmt.Errorf("memfd: no sealed memory files on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func create(string, int64) (*os.File, error) { return nil, errUnsupported }
func addSeals(int, Seals) error              { return errUnsupported }
func getSeals(int) (Seals, error)            { return 0, errUnsupported }
func verify(int, int64, Seals) error         { return errUnsupported }
func verifyEnforced(int) error               { return errUnsupported }
func mmap(int, int, bool) ([]byte, error)    { return nil, errUnsupported }
func unmap([]byte) error                     { return errUnsupported }
