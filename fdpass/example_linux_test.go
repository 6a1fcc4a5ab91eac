package fdpass_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/shmconn/shmconn/fdpass"
)

// One end hands the other the write end of a pipe.
func Example() {
	dir, err := os.MkdirTemp("", "fdpass")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		frame := make([]byte, 5)
		fds, err := fdpass.Receive(c.(*net.UnixConn), frame, 1)
		if err != nil {
			log.Fatal(err)
		}
		w := os.NewFile(uintptr(fds[0]), "pipe")
		defer w.Close()
		fmt.Fprintf(w, "written to the descriptor of %s", frame)
	}()

	c, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	err = fdpass.Borrow(func(fds []int) error {
		return fdpass.Send(c.(*net.UnixConn), []byte("frame"), fds...)
	}, w)
	if err != nil {
		log.Fatal(err)
	}
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	<-done
	fmt.Printf("%s\n", text)
	// Output: written to the descriptor of frame
}
