package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A file is what the parent found on disk: the truth that the transfers are compared with.
type file struct {
	name string // slash-separated, relative to the tree
	size int64  // bytes
	sum  [sha256.Size]byte
}

// A tree is the regular files below a directory.
type tree struct {
	files []file
	bytes int64

	special    int   // symbolic links, sockets, devices, ...: not fetched
	unreadable int   // files and directories that cannot be read
	firstErr   error // of the unreadable ones
}

// readTree hashes every regular file below dir. What cannot be read, or is no regular file, is
// counted and left out. An error is returned if nothing is left.
func readTree(ctx context.Context, dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	t := new(tree)
	progress := startProgress("reading " + dir)
	defer progress.stop()
	buf := make([]byte, bufferSize)
	fsys := root.FS()
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			t.skip(err)
		case entry.IsDir():
		case !entry.Type().IsRegular():
			t.special++
		default:
			f, err := readFile(ctx, fsys, name, buf)
			if err != nil {
				t.skip(err)
				break
			}
			t.files = append(t.files, f)
			t.bytes += f.size
			progress.done.Add(1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(t.files) == 0 {
		return nil, errors.Join(fmt.Errorf("%s: no regular file that can be read", dir), t.firstErr)
	}
	return t, nil
}

func readFile(ctx context.Context, fsys fs.FS, name string, buf []byte) (file, error) {
	in, err := fsys.Open(name)
	if err != nil {
		return file{}, err
	}
	defer in.Close()
	return hash(name, contextReader{ctx, in}, buf)
}

// A contextReader ends the reading of a large file when ctx is done.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// hash reads r to its end through buf and returns what a file of that content looks like.
func hash(name string, r io.Reader, buf []byte) (file, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, r, buf)
	return file{name: name, size: n, sum: [sha256.Size]byte(h.Sum(nil))}, err
}

// skip counts a path that cannot be read. Returning no error from a directory's own failure makes
// fs.WalkDir carry on with the next one.
func (t *tree) skip(err error) {
	t.unreadable++
	if t.firstErr == nil {
		t.firstErr = err
	}
}

// skipped describes what was left out, empty if nothing was.
func (t *tree) skipped() string {
	var s string
	if t.special > 0 {
		s += fmt.Sprintf(", %d links and special files left out", t.special)
	}
	if t.unreadable > 0 {
		s += fmt.Sprintf(", %d unreadable left out (%v)", t.unreadable, t.firstErr)
	}
	return s
}
