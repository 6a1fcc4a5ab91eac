//go:build !linux

package memfd

import "os"

func createConfig(string, int64, *Config) (*os.File, int64, error) { return nil, 0, errUnsupported }
func inspect(int) (Info, error)                                    { return Info{}, errUnsupported }
func mapContent(int, Info) ([]byte, error)                         { return nil, errUnsupported }
